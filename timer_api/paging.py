"""What every list takes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

PAGE_DEFAULT, PAGE_MAX = 100, 1000

Limit = Annotated[int, Field(ge=1, le=PAGE_MAX, description="The size of a page.", examples=[PAGE_DEFAULT])]
