"""Every command in the documentation is run as it stands there, in the order of its page.

A block of ```sh, ```python or ```sql is a command; other fences (```json, ```toml, ```) are not. A comment in the line
before changes that:

    <!-- not run: REASON -->     it can't be run here
    <!-- file: NAME -->          part of a program that a test of the clients puts together and runs
    <!-- prints nothing ... -->  its output must be empty; otherwise it must not be
    <!-- an error -->            curl must get one; otherwise a curl that gets one fails

The ports of `make run` are replaced by those of the running pipeline. An analyst runs the SQL of docs/sql.md, the writer
that of other pages.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest
import tools
from pipeline import address, eventually, get
from test_deployment import binary

PAGES = [tools.ROOT / "README.md", tools.ROOT / "CONTRIBUTING.md", *sorted((tools.ROOT / "docs").rglob("*.md"))]
COMMANDS = {"sh", "python", "sql"}
OTHER = {"", "go", "html", "java", "javascript", "json", "js", "properties", "rust", "text", "toml", "ts", "typescript", "xml", "yaml"}
PORTS = {8080: "EYE_URL", 8081: "EYE_QUERY_URL", 8082: "EYE_PROJECTOR_URL", 8123: "EYE_CLICKHOUSE_URL"}

# A curl fails if it gets an error. It tries again before, because a page may ask at once for what it has just sent.
STRICT = 'curl() { command curl --fail-with-body --max-time 60 --retry 8 --retry-all-errors --retry-delay 1 "$@"; }'


class Block:
    def __init__(self, page, line, language, mark, text):
        self.page, self.line, self.language, self.mark, self.text = page, line, language, mark, text
        self.name = f"{page.relative_to(tools.ROOT)}:{line}"

    def reason_not_to_run(self):
        found = re.match(r"not run[^:]*: *(.*)", self.mark, re.S)
        if found:
            assert len(found[1]) > 15, f"{self.name}: say why it is not run"
            return found[1]
        return "a test of the clients runs it" if self.mark.startswith("file:") else None


def blocks():
    for page in PAGES:
        text = page.read_text()
        pattern = r"(?:<!--((?:(?!-->).)*)-->\n+)?^( *)```([\w-]*)[^\n]*\n(.*?)^ *```$"
        for found in re.finditer(pattern, text, re.S | re.M):
            line = text.count("\n", 0, found.start(3)) + 1
            yield Block(page, line, found[3], (found[1] or "").strip(), re.sub(f"(?m)^{found[2]}", "", found[4]))


BLOCKS = list(blocks())
TO_RUN = [block for block in BLOCKS if block.language in COMMANDS and not block.reason_not_to_run()]


def here(text):
    """The text with this pipeline's addresses instead of those of `make run`."""
    for port, variable in PORTS.items():
        text = text.replace(f"http://127.0.0.1:{port}", address(variable).rstrip("/"))
    return text.replace("127.0.0.1:9092", address("EYE_KAFKA"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    programs = tmp_path_factory.mktemp("bin")
    tools.kafka_scripts(programs)
    for program in ["ingest", "projector", "query-api"]:
        (programs / program).symlink_to(binary(program))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EYE_")}
    return {
        **kept,
        "PATH": f"{programs}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
        "EYE_KAFKA_BROKERS": address("EYE_KAFKA"),
        "EYE_CLICKHOUSE_URL": address("EYE_CLICKHOUSE_URL"),
        "EYE_CLICKHOUSE_USER": address("EYE_CLICKHOUSE_USER"),
        "EYE_CLICKHOUSE_PASSWORD_FILE": address("EYE_CLICKHOUSE_PASSWORD_FILE"),
        "EYE_APPS": str(tools.ROOT / "tests/data/apps.toml"),
    }


def command(block):
    text = here(block.text)
    if block.language == "sh":
        strict = "" if block.mark == "an error" else STRICT
        return ["bash", "-euo", "pipefail", "-c", f"{strict}\n{text}"]
    if block.language == "python":
        return [sys.executable, "-c", text]
    statement = text.strip().rstrip(";")
    password = pathlib.Path(address("EYE_CLICKHOUSE_PASSWORD_FILE")).read_text()
    user = "analyst:" if block.page.name == "sql.md" else f"{address('EYE_CLICKHOUSE_USER')}:{password}"
    return ["curl", "--fail-with-body", "-sS", "-u", user, address("EYE_CLICKHOUSE_URL") + "/", "--data-binary", statement]


@pytest.mark.parametrize("block", TO_RUN, ids=lambda block: block.name)
def test_it_runs_as_it_stands(block, environment):
    options = {"cwd": tools.ROOT, "env": environment, "text": True, "timeout": 300}
    done = subprocess.run(command(block), capture_output=True, **options)
    said = f"--- exit code {done.returncode}, and it said:\n{done.stdout}{done.stderr}"
    assert done.returncode == 0, f"{block.text}\n{said}"
    if block.mark.startswith("prints nothing"):
        assert not done.stdout.strip(), said
    elif block.language != "python":
        assert (done.stdout + done.stderr).strip(), f"{block.text}\n{said}"


def test_the_applications_of_their_page_are_a_registry(environment, tmp_path):
    [text] = [block.text for block in BLOCKS if block.page.name == "applications.md" and block.language == "toml"]
    (tmp_path / "apps.toml").write_text(text)
    command = ["projector", "check-schemas", "schemas/event-types", "--every", "1000000", "--apps", tmp_path / "apps.toml"]
    done = subprocess.run(command, cwd=tools.ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_fence_says_what_it_is():
    for block in BLOCKS:
        assert block.language in COMMANDS | OTHER, f"{block.name}: {block.language}"
        hidden = block.language == "" and re.search(r"^(curl|projector|ingest|docker|kubectl|make) ", block.text, re.M)
        assert not hidden, f"{block.name}: commands stand in a fence that says sh"


def test_what_is_not_run_is_the_smaller_part():
    skipped = [block for block in BLOCKS if block.language in COMMANDS and block.reason_not_to_run()]
    for block in skipped:
        print(f"not run: {block.name}: {block.reason_not_to_run()}")
    assert len(TO_RUN) > len(skipped)


def test_links_lead_somewhere():
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"\w+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), f"{page.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
                slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
                assert anchor in slugs, f"{page.name}: {target}"


def test_the_pipeline_is_still_ready():
    """No command of the documentation left the pipeline worse than it was."""
    for variable in ["EYE_URL", "EYE_PROJECTOR_URL", "EYE_QUERY_URL"]:
        eventually(f"{variable} is ready", lambda variable=variable: ready(variable), patience=60)


def ready(variable):
    try:
        return get(address(variable) + "/readyz")
    except OSError:
        return None
