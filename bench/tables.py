"""`python -m bench.tables [TABLE] [--benchmark B] [--part P] [--attribute A]`: published tables in Markdown."""

from __future__ import annotations

import argparse

from pqa.data import published


def main() -> None:
    parser = argparse.ArgumentParser(description="Print published tables in Markdown.")
    parser.add_argument("table", nargs="?", choices=sorted(published.TABLES), help="default: all of them")
    for name in ("benchmark", "part", "attribute"):
        parser.add_argument(f"--{name}", help=f"only rows of this {name}")
    args = parser.parse_args()
    for table in [args.table] if args.table else published.TABLES:
        wanted = {name: getattr(args, name) for name in ("benchmark", "part", "attribute") if getattr(args, name)}
        rows = [row for row in published.read(table) if all(getattr(row, k) == v for k, v in wanted.items())]
        if rows:
            print(f"### {published.TABLES[table]}\n\n{published.markdown(rows)}")


if __name__ == "__main__":
    main()
