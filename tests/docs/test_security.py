"""What the page about security tells its readers to run does what it says."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.docs.pages import ROOT, blocks, section
from tests.docs.reader import Reader
from tests.system import System
from timer_controller.settings import ControllerSettings

PAGE = (ROOT / "docs/security.md").read_text()

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="encryption keys were NOT made: no openssl")


async def test_a_signing_secret_is_one() -> None:
    [command] = re.findall(r"`(python3 -c [^`]+)`", section(PAGE, "Signatures"))
    made = await Reader().run(re.sub(r"\n +", " ", command))
    settings = ControllerSettings(db_url="mysql://u:p@h/d", signing_secrets=made.strip())
    assert settings.signing_secrets


@needs_openssl
async def test_an_encryption_key_encrypts_and_is_counted(system: System, database_url: str) -> None:
    setting = blocks(section(PAGE, "Encryption at rest"))[0].text
    [count] = [block.text for block in blocks(section(PAGE, "Keys that change"))]
    reader = Reader()
    key = await reader.run(f'{setting}printf %s "$TIMER_ENCRYPTION_KEYS"')
    api = await system.start_api(encryption_keys=key)
    await api.create(seconds=3600, url=system.receiver.url, meta="secret")
    counted = await reader.run(count, TIMER_DB_URL=database_url, TIMER_ENCRYPTION_KEYS=key)
    key_id = key.partition(":")[0]
    assert f"1 timers encrypted with the key {key_id}\n" in counted
    counted = await reader.run(count, code=1, TIMER_DB_URL=database_url)
    assert f"1 timers encrypted with the key {key_id}, which is not in TIMER_ENCRYPTION_KEYS" in counted
