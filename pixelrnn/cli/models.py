"""pixelrnn models"""

from pixelrnn import pretrained
from pixelrnn.checkpoint import WEIGHTS
from pixelrnn.cli.compose import Job


def run(job: Job) -> None:
    names = pretrained.names()
    if job.cfg.name is None:
        indent = max(map(len, names)) + 2
        for name in names:
            facts = pretrained.facts(name)
            nats, size = facts["evaluation"]["all"], (pretrained.FOLDER / name / WEIGHTS).stat().st_size
            print(f"{name:<{indent}}{facts['title']}")
            print(f"{'':<{indent}}{facts['form']}; {facts['parameters']:,} parameters, {size / 2**20:.1f} MiB")
            print(
                f"{'':<{indent}}test: {nats['nats']:.2f} nats, {nats['bits_per_dim']:.3f} bits/dim; {facts['completes']}\n"
            )
        print("checkpoint=<name> uses a model in any command; pixelrnn models name=<name> prints its card")
    else:
        print("\n".join(pretrained.card(job.cfg.name)))
