"""What MkDocs is told beyond its settings: pages that are made from what is written down elsewhere, and links that
lead out of docs/."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))

import reference  # noqa: E402 - it stands beside this file, which is no package

from timer_api.app import create_app  # noqa: E402
from timer_api.settings import ApiSettings  # noqa: E402

_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
_PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "examples": "examples.md"}
"""Where what stands outside docs/ is on the site."""
_NOT_ON_THE_SITE = frozenset({"system_scheme.drawio"})


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the pages that are no files in docs/."""
    for source, target in (("README.md", "index.md"), ("CHANGELOG.md", "changelog.md")):
        text = (ROOT / source).read_text()
        files.append(File.generated(config, target, content=_moved(text, ROOT)))
    files.append(File.generated(config, "examples.md", content=_examples()))
    files.append(File.generated(config, "api.md", content=_reference()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links to what is elsewhere on the site to its place there."""
    if page.file.abs_src_path is None:
        return markdown
    return _moved(markdown, (ROOT / "docs" / page.file.src_uri).parent)


def _moved(text: str, folder: Path) -> str:
    def replace(link: re.Match[str]) -> str:
        path, anchor = link[1], link[2] or ""
        if not path:
            return link[0]
        target = (folder / path).resolve().relative_to(ROOT)
        if str(target) in _NOT_ON_THE_SITE:
            return "]"
        if moved := _PAGES.get(str(target)):
            up = "../" * len(folder.relative_to(ROOT / "docs").parts) if folder != ROOT else ""
            return f"]({up}{moved}{anchor})"
        if folder == ROOT:
            return f"]({target.relative_to('docs')}{anchor})"
        return link[0]

    return _LINK.sub(replace, text)


def _examples() -> str:
    parts = ["# Receivers that run\n\nThe tests run them as they stand here.\n"]
    for path in sorted((ROOT / "examples").glob("*.py")):
        parts.append(f"## {path.name}\n\n```python\n{path.read_text()}```\n")
    return "\n".join(parts)


def _reference() -> str:
    # Nothing is connected: only the document is asked for.
    app = create_app(ApiSettings(db_url="mysql://nobody:nothing@127.0.0.1/timer"))
    return reference.page(app.app.openapi())
