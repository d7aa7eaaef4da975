"""
Tracking with gaps
==================

A vehicle is located twice a second with an error of some metres; now and then it is behind a hill and not seen. A model of
constant velocity with random accelerations fills in where it was, and how sure that is. Its two unknowns, how much it
accelerates and how large the error is, are learnt from the track itself.
"""

# %%
# A track
# -------
# The vehicle drives a smooth closed curve that no linear model made.
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse

import kelman

rng = np.random.default_rng(0)
dt, T = 0.5, 400
angle = 2 * np.pi * np.arange(T) / 300
way = np.column_stack([300 * np.cos(angle) + 60 * np.cos(3 * angle), 200 * np.sin(angle) - 40 * np.sin(2 * angle)])
z = way + 8.0 * rng.normal(size=way.shape)
z[60:80] = z[204:230] = np.nan  # behind a hill
z[rng.random(T) < 0.2] = np.nan  # now and then nothing is received

# %%
# A model with two unknowns
# -------------------------
# Position and velocity in both directions. ``Tied`` repeats a parameter, also as a multiple: the noise of a constant velocity
# that white acceleration disturbs has one unknown, q, in all its entries.
one = np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
Q = np.zeros((4, 4), dtype=object)
for axis in (0, 2):
    for i in range(2):
        for j in range(2):
            Q[axis + i, axis + j] = one[i, j] * kelman.Tied("q")
Q[0, 0] = one[0, 0] * kelman.Free(1.0, lower=0.0, name="q")
step = np.array([[1.0, dt], [0.0, 1.0]])
template = kelman.Template(
    A=np.kron(np.eye(2), step),
    H=[[1, 0, 0, 0], [0, 0, 1, 0]],
    Q=Q,
    R=[[kelman.Free(10.0, lower=0.0, name="r"), 0], [0, kelman.Tied("r")]],
    initial="diffuse",
)
fit = kelman.fit(z, template=template, method="mle")
theta = dict(zip(fit.names, fit.theta, strict=True))
print(f"error of a measurement {np.sqrt(theta['r']):.1f} m (8 in truth)")

# %%
# Where it was
# ------------
# The filter knows the past, the smoother both sides of a gap.
r, s = kelman.filter(fit.model, z), kelman.smooth(fit.model, z)
fig, axes = plt.subplots(1, 2, figsize=(9, 3.9), layout="constrained")
for ax, result, title in zip(axes, (r, s), ("filtered", "smoothed"), strict=True):
    ax.plot(*way.T, color="0.7", lw=3, label="truth")
    ax.plot(*z.T, ".", color="0.3", ms=2, label="measured")
    ax.plot(result.mean[4:, 0], result.mean[4:, 2], color="C0", lw=1, label=title)
    for k in range(207, 230, 4):
        place = result.mean[k, [0, 2]]
        values, vectors = np.linalg.eigh(result.cov[k][np.ix_([0, 2], [0, 2])])
        width, height = 2 * np.sqrt(5.991 * values)
        turn = np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0]))
        ax.add_patch(Ellipse(place, width, height, angle=turn, fc="C1", alpha=0.15, ec="C1"))
    ax.set(
        title=f"{title}, 95 % ellipses in the long gap", xlabel="m", aspect="equal", xlim=(-480, 480), ylim=(-330, 330)
    )
axes[0].set_ylabel("m")
axes[0].legend(loc="upper left", fontsize=8)

# %%
# Are the ellipses honest?
# ------------------------
# The share of steps at which the truth lies inside. The way is smoother than the model thinks, so that the smoother, which sees
# both sides, is surer than it says.
for result, title in ((r, "filtered"), (s, "smoothed")):
    miss = way[4:] - result.mean[4:, [0, 2]]
    cov = result.cov[4:][:, [0, 2]][:, :, [0, 2]]
    distance = np.einsum("ti,ti->t", miss, np.linalg.solve(cov, miss[:, :, None])[:, :, 0])
    error = np.sqrt((miss**2).sum(axis=1).mean())
    print(
        f"{title:9} root mean square error {error:5.1f} m, inside the 95 % ellipse {100 * np.mean(distance < 5.991):.0f} %"
    )
