"""The command line: ``python -m rnnlib run 03 --scale cpu``, and so on."""

import argparse
import sys
from pathlib import Path

from rnnlib import __version__, notebooks


def main(arguments=None):
    """Parse the command line, run one command, and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except ImportError as error:
        print(f"error: {error}; see: python -m rnnlib doctor", file=sys.stderr)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
    return 1


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m rnnlib", description="Run and keep up Recurrent Neural Networks, executed."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name, function, text):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=function)
        return command

    run = add("run", _run, "Execute a chapter and show its metrics and claims.")
    run.add_argument("chapter", help='number or name, such as "03" or "bptt"')
    run.add_argument("--scale", choices=("auto", "smoke", "cpu", "gpu"), default="auto")
    run.add_argument("--seeds", type=_count, default=1, metavar="N", help="run seeds 0 to N-1")
    run.add_argument(
        "--save", action="store_true", help="keep outputs in the notebook, results in the book"
    )
    add("results", _results, "Rebuild the book's page of results, book/results.md.")
    data = add("data", _data, "List or fetch the data sets.")
    data.add_argument("action", choices=("list", "fetch"))
    data.add_argument("names", nargs="*", metavar="NAME", help="all data sets if none is named")
    add("doctor", _doctor, "Say what this machine has and what will run on it.")
    bench = add("bench", _bench, "Time the NumPy kernels beside PyTorch, on one thread.")
    bench.add_argument("what", choices=("scratch",))
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the times there as well")
    form = add("format", _format, "Bring notebooks into their normal form.")
    form.add_argument("--check", action="store_true", help="change nothing; fail if not normal")
    form.add_argument("files", nargs="*", type=Path, metavar="FILE", help="all chapters if none")
    address = add("repository", _repository, "Show the repository's address, or rewrite it.")
    address.add_argument("url", nargs="?", help="https://github.com/OWNER/NAME")
    address.add_argument("--branch", help="the branch that Colab opens")
    return parser


def _count(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected at least 1")
    return number


def _run(options):
    from rnnlib import course, runner

    root = notebooks.find_root()
    path = notebooks.find_chapter(root, options.chapter)
    scale = course.resolve_scale(options.scale)
    runner.run_chapter(root, path, scale, options.seeds, options.save)


def _results(options):
    from rnnlib import results

    root = notebooks.find_root()
    notebooks.write_whole(root / "book" / "results.md", results.page(root))
    print("wrote book/results.md")


def _data(options):
    from rnnlib import data

    sets = {entry["name"]: entry for entry in data.status()}
    unknown = [name for name in options.names if name not in sets]
    if unknown:
        raise ValueError(f"no data set {unknown[0]!r}; there are: {', '.join(sets)}")
    for name in options.names or sets:
        if options.action == "fetch":
            for path in data.fetch(name):
                print(path)
            continue
        entry = sets[name]
        size = f"{entry['bytes'] / 1e6:.1f} MB"
        print(f"{name:20} {size:>10}  {entry['where']:8}  {entry['licence']}")
        print(f"    {entry['description']}\n    {entry['source']}")


def _doctor(options):
    from rnnlib import doctor

    return 1 if doctor.report() else 0


def _bench(options):
    from rnnlib import bench

    return bench.scratch(options.json)


def _format(options):
    from rnnlib import normal

    bad = 0
    for path in options.files or notebooks.chapters(notebooks.find_root()):
        if normal.format_file(path, options.check):
            print(f"{path}: {'not in normal form' if options.check else 'rewritten'}")
            bad += options.check
        for cell, found in notebooks.machine_paths(notebooks.read(path)):
            print(f"{path}: cell {cell + 1} shows a path of one machine: {found}")
            bad += 1
    return 1 if bad else 0


def _repository(options):
    from rnnlib import address

    root = notebooks.find_root()
    if options.url or options.branch:
        url = options.url or address.current(root)[0]
        for path in address.rewrite(root, url, options.branch):
            print(f"rewrote {path.relative_to(root).as_posix()}")
    url, branch = address.current(root)
    print(f"{url}, branch {branch}")
    found = address.disagreements(root)
    for sentence in found:
        print(sentence)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
