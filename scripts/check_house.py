#!/usr/bin/env python3
"""Refuses what the house does not allow: one line a finding, exit code 1 if there is any.

    scripts/check_house.py                every rule over this tree
    scripts/check_house.py words sizes    only these rules
    scripts/check_house.py --list         the rules, each with what it asks for
    scripts/check_house.py --root DIR     another tree

In ctest each rule is a case of its own, house_<rule>; tests/scripts feeds each a tree that breaks
it and sees it refuse.
"""

import argparse
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # a check leaves nothing in the tree
sys.path.insert(0, str(Path(__file__).resolve().parent))

from house import arrows, documents, exports, listing, sizes, words  # noqa: E402
from house.tree import Tree  # noqa: E402

RULES = {
    "arrows": arrows.check_arrows,
    "vendors": arrows.check_vendors,
    "words": words.check_words,
    "names": words.check_names,
    "silence": words.check_silence,
    "finished": words.check_finished,
    "listed": listing.check_listed,
    "globs": listing.check_globs,
    "heads": listing.check_heads,
    "exports": exports.check_exports,
    "readmes": listing.check_readmes,
    "file_sizes": sizes.check_file_sizes,
    "function_sizes": sizes.check_function_sizes,
    "links": documents.check_links,
    "paths": documents.check_paths,
}


def main():
    parser = argparse.ArgumentParser(description="Checks the rules of the house.")
    parser.add_argument("rules", nargs="*", metavar="RULE", help="default: all")
    parser.add_argument("--root", default=Path(__file__).resolve().parent.parent, type=Path)
    parser.add_argument("--list", action="store_true", help="names the rules and ends")
    options = parser.parse_args()
    if options.list:
        for name, rule in RULES.items():
            print(f"{name:15} {rule.__doc__.splitlines()[0]}")
        return 0
    unknown = [name for name in options.rules if name not in RULES]
    if unknown or not options.root.is_dir():
        wrong = f"no rule {unknown[0]!r}" if unknown else f"no folder {options.root}"
        print(f"check_house.py: {wrong}; --list names the rules", file=sys.stderr)
        return 2
    tree = Tree(options.root)
    if not tree.sources():
        print(f"check_house.py: no sources under {tree.root}", file=sys.stderr)
        return 2
    findings = [finding for name in options.rules or RULES for finding in RULES[name](tree)]
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
