"""``vertecast demo``: the whole of what works, on a made patient."""

from vertecast.cli.answer import JsonFlag, QuietFlag, answering
from vertecast.cli.phantom import OutOption
from vertecast.cli.tables import spine_table


def demo(out: OutOption, as_json: JsonFlag = False, quiet: QuietFlag = False) -> None:
    """Make a phantom patient with a fractured L1 and measure every vertebra.

    Example: vertecast demo --out demo
    """
    with answering(as_json=as_json, quiet=quiet) as answer:
        from vertecast.pipeline.demo import demo_case

        spine = demo_case(out, answer.observer).as_json()
        answer.give(
            spine, spine_table(spine), f"Pictures: {out}/measured/pictures", f"Numbers: {out}/measured/spine.json"
        )
