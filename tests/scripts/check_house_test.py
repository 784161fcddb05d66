"""Each rule of scripts/check_house.py is fed a tree that breaks it and must refuse it, and one that
does not and must accept it."""

import importlib.util
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CHECK = ROOT / "scripts" / "check_house.py"
spec = importlib.util.spec_from_file_location("check_house", CHECK)
check_house = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_house)

# A tree in which nothing is wrong. Paths are relative; a test adds to it or replaces in it.
GOOD = {
    "README.md": "See [the page](CONTRIBUTING.md).\n",
    "CONTRIBUTING.md": "Run `scripts/test.sh` or `cmake --preset release`.\n",
    "CMakePresets.json": '{"configurePresets": [{"name": "release"}]}',
    "scripts/test.sh": "exit 0\n",
    "partition/README.md": "what it is\n",
    "partition/CMakeLists.txt": "zero_room(partition HEADERS include/zero/partition/cut.hpp\n"
                                "  SOURCES src/cut.cpp)\n",
    "partition/include/zero/partition/cut.hpp":
        "#pragma once\n// cut: says who a thread on a stage may ask.\n"
        "#include <zero/base/span.hpp>\n#pragma GCC visibility push(default)\n"
        "namespace zero { int cut(int n); }\n#pragma GCC visibility pop\n",
    "partition/src/cut.cpp": "#include <zero/partition/cut.hpp>\nint cut(int n) { return n; }\n",
}


def write_tree(folder, files):
    for name, text in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


class HouseTest(unittest.TestCase):
    def findings(self, rule, files):
        """What the rule says about GOOD with `files` on top."""
        with tempfile.TemporaryDirectory() as folder:
            write_tree(folder, {**GOOD, **files})
            return [str(finding) for finding in
                    check_house.RULES[rule](check_house.Tree(folder))]

    def refuses(self, rule, files, *expected):
        """There is one finding for each of `expected`, in order, which it begins with."""
        found = self.findings(rule, files)
        self.assertEqual(len(found), len(expected), found)
        for line, beginning in zip(found, expected):
            self.assertTrue(line.startswith(beginning), line)

    def accepts(self, rule, files):
        self.assertEqual(self.findings(rule, files), [])


class Program(unittest.TestCase):
    def run_check(self, *arguments):
        return subprocess.run([sys.executable, CHECK, *arguments], capture_output=True, text=True,
                              check=False)

    def test_findings_are_lines_and_an_exit_code(self):
        with tempfile.TemporaryDirectory() as folder:
            write_tree(folder, GOOD)
            good = self.run_check("--root", folder)
            write_tree(folder, {"partition/src/a.cpp": "int stage;\n"})
            bad = self.run_check("--root", folder, "words", "listed")
        self.assertEqual((good.returncode, good.stdout, good.stderr), (0, "", ""))
        self.assertEqual((bad.returncode, bad.stdout.count("\n"), bad.stderr), (1, 2, ""))
        self.assertIn("partition/src/a.cpp:1: partition may not say 'stage': stage\n", bad.stdout)

    def test_an_unknown_rule_is_wrong_usage(self):
        ran = self.run_check("manners")
        self.assertEqual((ran.returncode, ran.stdout), (2, ""))
        self.assertIn("'manners'", ran.stderr)

    def test_a_tree_without_sources_is_not_a_clean_tree(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(self.run_check("--root", folder).returncode, 2)

    def test_every_rule_is_listed_and_has_a_test(self):
        rules = {line.split()[0] for line in self.run_check("--list").stdout.splitlines()}
        tested = {rule for case in HouseTest.__subclasses__() for rule in case.rules}
        self.assertEqual(rules, tested)


class Includes(HouseTest):
    rules = ("arrows", "vendors")

    def test_good_tree(self):
        for rule in self.rules:
            self.accepts(rule, {})

    def test_a_room_includes_one_it_may_not(self):
        self.refuses("arrows", {"partition/src/cut.cpp": "\n#include <zero/engine/options.hpp>\n"},
                     "partition/src/cut.cpp:2: partition may not include <zero/engine/options.hpp>")

    def test_base_includes_nobody(self):
        self.refuses("arrows", {"libzero/base/src/a.cpp": "#  include <zero/optim/rule.hpp>\n"},
                     "libzero/base/src/a.cpp:1: base may not include")

    def test_engine_may_and_a_comment_does_not_count(self):
        self.accepts("arrows", {"libzero/engine/src/a.cpp": "#include <zero/optim/rule.hpp>\n",
                                "partition/src/cut.cpp": "// #include <zero/engine/a.hpp>\n"})

    def test_an_example_includes_what_any_client_may(self):
        self.accepts("arrows", {"libzero/examples/a/a.c": "#include <zero/zero.h>\n"})
        self.refuses("arrows", {"libzero/examples/a/a.c": "#include <zero/engine/options.hpp>\n"},
                     "libzero/examples/a/a.c:1: examples may not include")

    def test_private_headers_of_others(self):
        self.refuses("arrows", {"libzero/engine/src/a.cpp": '#include "../optim/src/x.hpp"\n',
                                "tests/a.cpp": '#include <partition/src/x.hpp>\n'},
                     "libzero/engine/src/a.cpp:1:", "tests/a.cpp:1:")

    def test_vendors_out_of_their_folder(self):
        for header in ("cuda_runtime.h", "nccl.h", "mpi.h", "liburing.h", "hwloc.h", "immintrin.h",
                       "cblas.h", "boost/program_options.hpp", "fmt/format.h", "hwy/highway.h"):
            self.refuses("vendors", {"partition/src/cut.cpp": f"#include <{header}>\n"},
                         f"partition/src/cut.cpp:1: <{header}>")

    def test_vendors_in_their_folder(self):
        self.accepts("vendors", {"collectives/src/nccl/a.cpp": "#include <nccl.h>\n",
                                 "libzero/base/src/stream_cuda.cpp": "#include <cuda_runtime.h>\n",
                                 "libzero/optim/src/a.cpp": "#include <hwy/highway.h>\n"})

    def test_vendors_in_a_public_header(self):
        self.refuses("vendors",
                     {"libzero/optim/include/zero/optim/a.hpp": "#include <hwy/highway.h>\n"},
                     "libzero/optim/include/zero/optim/a.hpp:1: <hwy/highway.h>")


class Words(HouseTest):
    rules = ("words", "names", "silence", "finished")

    def test_good_tree(self):
        for rule in self.rules:
            self.accepts(rule, {})

    def test_words_in_identifiers_strings_and_includes(self):
        self.refuses("words", {"partition/src/cut.cpp": "#include <thread>\nint my_stages;\n"
                                                        'auto s = "a cuda device";\nint OneStream;'},
                     "partition/src/cut.cpp:1: partition may not say 'thread'",
                     "partition/src/cut.cpp:2: partition may not say 'stage': my_stages",
                     "partition/src/cut.cpp:3: partition may not say 'cuda'",
                     "partition/src/cut.cpp:4: partition may not say 'stream': OneStream")

    def test_words_in_file_names(self):
        self.refuses("words", {"partition/src/stage_three.cpp": ""},
                     "partition/src/stage_three.cpp:1:")

    def test_words_that_only_contain_one(self):
        self.accepts("words", {"partition/src/cut.cpp": "std::ostringstream o; int threaded;\n",
                               "partition/src/sharding_policy.cpp": "policy policy_of_stage(int);"})

    def test_shard_is_a_parameter_of_collectives_and_nothing_else(self):
        self.accepts("words", {"collectives/src/a.cpp": "void gather(span shard);\n"})
        self.refuses("words", {"collectives/src/a.cpp": "struct shard_table;\n"},
                     "collectives/src/a.cpp:1: collectives may not say 'shard'")

    def test_types_and_files_that_say_nothing(self):
        self.refuses("names", {"partition/src/cut_utils.cpp": "",
                               "partition/src/cut.cpp": "class BufferManager {};\n"
                                                        "enum class context : int {};\n"},
                     "partition/src/cut_utils.cpp:1:", "partition/src/cut.cpp:1:",
                     "partition/src/cut.cpp:2:")

    def test_members_named_data_are_no_types(self):
        self.accepts("names", {"partition/src/cut.cpp": "struct span { void* data; };\n"})

    def test_printing_and_ending(self):
        for code in ("std::exit(1);", "abort();", "std::cout << 1;", 'printf("x");',
                     "fputs(s, stderr);", "#include <iostream>", "return abort();"):
            found = self.findings("silence", {"partition/src/cut.cpp": code + "\n"})
            self.assertTrue(found, code)

    def test_silent_code(self):
        self.accepts("silence", {"partition/src/cut.cpp":
                                 "// exit(1)\nvoid f() { snprintf(b, n, s); peer.abort(); }\n"
                                 "  virtual void abort(const std::string& why) = 0;\n"
                                 "void arena::abort() {}\nauto s = \"printf(x)\";\n",
                                 "libzero/cli/src/main.cpp": "int main() { std::exit(1); }\n"})

    def test_unfinished(self):
        self.refuses("finished", {"partition/src/cut.cpp": "int x;  // TO" "DO: y\n"},
                     "partition/src/cut.cpp:1: unfinished")


class Listing(HouseTest):
    rules = ("listed", "globs", "heads", "readmes")

    def test_good_tree(self):
        for rule in self.rules:
            self.accepts(rule, {})

    def test_a_file_that_nothing_builds(self):
        self.refuses("listed", {"partition/src/other.cpp": "", "tests/partition/a_test.cpp": ""},
                     "partition/src/other.cpp:1:", "tests/partition/a_test.cpp:1:")

    def test_a_comment_lists_nothing(self):
        self.refuses("listed", {"tests/CMakeLists.txt": "# a_test.cpp\n", "tests/a_test.cpp": ""},
                     "tests/a_test.cpp:1:")

    def test_c_is_listed_too(self):
        self.refuses("listed", {"libzero/examples/a/a.c": ""}, "libzero/examples/a/a.c:1:")
        self.accepts("listed", {"libzero/examples/a/CMakeLists.txt": "add_executable(a a.c)\n",
                                "libzero/examples/a/a.c": ""})

    def test_listed_from_above(self):
        self.accepts("listed", {"tests/CMakeLists.txt": "zero_test(a SOURCES x/a_test.cpp)\n",
                                "tests/x/a_test.cpp": ""})

    def test_listed_from_beside(self):
        self.accepts("listed", {"tests/x/CMakeLists.txt": "zero_test(a SOURCES ../y/a_test.cpp)\n",
                                "tests/y/a_test.cpp": ""})

    def test_headers(self):
        named = GOOD["partition/CMakeLists.txt"]
        used = '#include "cuts.hpp"\n' + GOOD["partition/src/cut.cpp"]
        self.accepts("listed", {"partition/src/cuts.hpp": "", "partition/src/cut.cpp": used})
        self.refuses("listed", {"partition/src/cuts.hpp": '#include "cuts.hpp"\n',
                                "partition/src/uts.hpp": "",
                                "partition/include/zero/partition/b.hpp": "",
                                "partition/src/cut.cpp": '#include "b.hpp"\n',
                                "partition/CMakeLists.txt": named},
                     "partition/include/zero/partition/b.hpp:1: named in no CMakeLists.txt: it",
                     "partition/src/cuts.hpp:1:", "partition/src/uts.hpp:1:")

    def test_globs(self):
        self.refuses("globs", {"tests/CMakeLists.txt": "\nfile(GLOB x *.cpp)\n"},
                     "tests/CMakeLists.txt:2:")

    def test_heads(self):
        self.refuses("heads", {"partition/src/a.hpp": "// a\n#pragma once\n",
                               "partition/src/b.hpp": "#pragma once\nint b;\n",
                               "partition/src/c-inl.hpp": "int c;\n"},
                     "partition/src/a.hpp:1: a header begins",
                     "partition/src/a.hpp:1: the head", "partition/src/b.hpp:1: the head",
                     "partition/src/c-inl.hpp:1: the head")

    def test_a_room_without_readme(self):
        self.refuses("readmes", {"offload/CMakeLists.txt": "", "offload/include/a.hpp": ""},
                     "offload:1:")


class Sizes(HouseTest):
    rules = ("file_sizes", "function_sizes")

    def test_good_tree(self):
        for rule in self.rules:
            self.accepts(rule, {})

    def test_file_limits_are_exact(self):
        for name, limit in (("partition/include/zero/partition/cut.hpp", 250),
                            ("partition/src/cut.cpp", 400), ("tests/a_test.cpp", 400),
                            ("bench/optim/a_bench.cpp", 300), ("bench/trainer/gpt.cpp", 400),
                            ("CMakeLists.txt", 160), ("partition/CMakeLists.txt", 60),
                            ("README.md", 150), ("scripts/a.py", 400)):
            self.accepts("file_sizes", {name: "\n" * limit})
            self.refuses("file_sizes", {name: "\n" * (limit + 1)},
                         f"{name}:{limit + 1}: {limit + 1} lines, {limit} at most")

    def test_marks_of_what_is_exported_are_not_counted(self):
        name = "partition/include/zero/partition/cut.hpp"
        marks = "#pragma GCC visibility push(default)\n#pragma GCC visibility pop\n"
        self.accepts("file_sizes", {name: "\n" * 250 + marks})
        self.refuses("file_sizes", {name: "\n" * 251 + marks},
                     f"{name}:251: 251 lines, 250 at most")

    def test_function_limits_are_exact(self):
        heads = ("int f(int a) {", "template <typename T> auto f() -> std::vector<T> {",
                 "struct s { s() noexcept : a_{1}, b_(2), c_{3} {", "TEST(a, b) {",
                 "namespace { class c final : public d { public: int f() const override {",
                 "int x = 1'000; char c = '{'; const char* s = \"{\"; /* { */ void f() {",
                 "#define BRACE {\nvoid f() {", "enum class e { a, b }; int a[] = {1, 2}; void f() {")
        for head in heads:
            closing = "}" * (1 + head.count("namespace") + head.count("class c ") +
                             head.count("struct"))
            for extra in (0, 1):
                lines = 70 + extra - 2
                code = head + "\n" + "if (a) { b(); }\n" * lines + closing + "\nint g() {\n}\n"
                found = self.findings("function_sizes", {"partition/src/cut.cpp": code})
                self.assertEqual(len(found), extra, (head, found))

    def test_a_long_class_is_no_function(self):
        code = "class c {\n" + "  int f() { return 1; }\n" * 90 + "};\n"
        self.accepts("function_sizes", {"partition/src/cut.cpp": code})

    def test_python_functions(self):
        self.refuses("function_sizes", {"scripts/a.py": "def f():\n" + "    x = 1\n" * 70},
                     "scripts/a.py:1: a function of 71 lines")


class Exports(HouseTest):
    rules = ("exports",)
    header = "partition/include/zero/partition/cut.hpp"
    push, pop = "#pragma GCC visibility push(default)\n", "#pragma GCC visibility pop\n"
    space = "namespace zero {\n}\n"

    def test_good_tree(self):
        self.accepts("exports", {})
        self.accepts("exports", {self.header: "#define NO_NAMESPACE 1\n"})

    def test_a_namespace_without_marks(self):
        self.refuses("exports", {self.header: "\n" + self.space}, f"{self.header}:2: a namespace")
        self.refuses("exports", {self.header: self.push + self.space + self.pop + self.space},
                     f"{self.header}:5: a namespace")

    def test_marks_that_do_not_fit(self):
        self.refuses("exports", {self.header: self.push + self.space},
                     f"{self.header}:3: `{self.pop.strip()}` is missing")
        self.refuses("exports", {self.header: self.pop}, f"{self.header}:1: ")
        self.refuses("exports", {self.header: self.push + self.push + self.pop},
                     f"{self.header}:2: ")
        self.refuses("exports", {self.header: self.push + "#include <vector>\n" + self.pop},
                     f"{self.header}:2: an include")

    def test_the_c_interface(self):
        name = "partition/include/zero/cut.h"
        head = '#ifdef __cplusplus\nextern "C" {\n#endif\n'
        tail = "#ifdef __cplusplus\n}\n#endif\n"
        good = "typedef struct a { int (*f)(int); } a;\nenum { B = 1 };\ntypedef int (*g)(void);\n"
        self.accepts("exports", {name: head + good + "ZERO_PUBLIC int cut(int n);\n"
                                 "static inline int one(void) {\n  return cut(1);\n}\n" + tail})
        self.refuses("exports", {name: head + good + "int cut(int n);\n/* int x(); */" + tail},
                     f"{name}:7: a function")

    def test_private_headers_need_no_marks(self):
        self.accepts("exports", {"partition/src/cuts.hpp": self.space})


class Documents(HouseTest):
    rules = ("links", "paths")

    def test_good_tree(self):
        for rule in self.rules:
            self.accepts(rule, {})

    def test_links(self):
        self.refuses("links", {"partition/README.md": "a\n[b](../CONTRIBUTING.md) [c](gone.md)\n"},
                     "partition/README.md:2: leads nowhere: gone.md")

    def test_code_has_no_links(self):
        self.accepts("links", {"README.md": "```cpp\nauto f = [](int n) { g[i](n); };\n```\n"})

    def test_paths_and_presets(self):
        self.refuses("paths", {"CONTRIBUTING.md": "`scripts/gone.sh --all`, `a/b` and `tests`\n"
                                                  "```sh\ncmake --preset fast  # x/y\n```\n"},
                     "CONTRIBUTING.md:1: does not exist: scripts/gone.sh",
                     "CONTRIBUTING.md:1: does not exist: a/b",
                     "CONTRIBUTING.md:3: no such preset: fast")

    def test_what_running_makes_is_not_asked_for(self):
        self.accepts("paths", {"README.md": "`build/release/bin/zero` writes `out/quickstart`, `ROOM/src`\n"})


if __name__ == "__main__":
    unittest.main()
