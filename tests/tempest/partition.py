"""Shares the plugin's api tests among workers: `partition.py PACKAGE WORKERS` writes a worker file for stestr.

Nearly all of a test's time is waiting between two looks at a status, so a class weighs as many waits as its source
has. Without times of an earlier run stestr shares by number, and some workers end long before others.
"""

import pathlib
import re
import sys

WAITS = re.compile(r"create_a_cluster|create_a_node|wait_for|delete_a_cluster|delete_a_node|create_a_receiver|"
                   r"cluster_attach_policy|cluster_detach_policy|time\.sleep|cluster_\w+\(self")


def weights(package):
    root = pathlib.Path(package)
    for file in sorted(root.glob("tests/api/**/*.py")):
        module = ".".join(file.relative_to(root.parent).with_suffix("").parts)
        for text in re.split(r"^class ", file.read_text(), flags=re.M)[1:]:
            methods = re.split(r"^    def ", text, flags=re.M)[1:]
            setup = sum(len(WAITS.findall(m)) for m in methods if m.startswith("setUp"))
            tests = [m for m in methods if m.startswith("test")]
            if tests:
                waits = sum(setup + len(WAITS.findall(m)) for m in tests)
                yield waits + len(tests) / 10, f"{module}.{text.split('(')[0]}"


def main(package, workers):
    shares = [[0, []] for _ in range(int(workers))]
    for weight, name in sorted(weights(package), reverse=True):
        least = min(shares, key=lambda share: share[0])
        least[0] += weight
        least[1].append(name)
    for _, names in shares:
        print("- worker:")
        for name in names:
            print(f"  - ^{re.escape(name)}\\.")


main(*sys.argv[1:])
