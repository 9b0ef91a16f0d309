"""Where the cost of the call itself counts."""
FAMILIES = ("tiny",)


def test_overhead(run):
    run()
