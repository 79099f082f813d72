"""How fast content-style trains its codes, beside LORD's stage 1.

    python benchmarks/content_style_step.py

Both with the `laptop` preset, batch 64, 2,112 random images (no time here depends on what they
show), stepped in turn in one process, so that a slower or busier machine slows both. Instance
discrimination is off, as in `laptop`; with it on the step is given as well.
"""

from __future__ import annotations

from _steps import library_step, random_images, run, timed

from unmingle.methods import LORD, ContentStyle

BATCH = 64


def compare() -> None:
    rows = random_images(2112, {"class": 24})
    for divisor in (1, 2):
        methods = {
            "LORD": LORD(batch=BATCH),
            "content-style": ContentStyle(batch=BATCH),
            "with instance discrimination": ContentStyle(batch=BATCH, discrimination_weight=1.0),
        }
        steps = {n: library_step(m, rows, "latent", divisor) for n, m in methods.items()}
        seconds = timed(steps, 25)
        print(f"{64 // divisor}x{64 // divisor}")
        for name, value in seconds.items():
            share = seconds["LORD"] / value
            print(f"  {name:28} {BATCH / value:6.0f} images/s  {share:.2f} of LORD's")


if __name__ == "__main__":
    run(compare=compare)
