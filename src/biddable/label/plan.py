"""The planning calculator: how many labels a wanted interval needs, and what they would cost."""

from fastapi import APIRouter, Request

from biddable.label.desk import Here
from biddable.measure.planning import plan
from biddable.store import StoreError

router = APIRouter()


@router.get("/manage/plan")
def page(
    request: Request, desk: Here, half: float = 3, share: float = 73, k: int = 4, within: float = 20,
    seconds: float = 120, hourly: float = 15,
):  # fmt: skip
    asked = {"half": half, "share": share, "k": k, "within": within, "seconds": seconds, "hourly": hourly}
    if not 0.1 <= half < 50 or not 0 < share < 100 or not 0 <= within <= 100 or not 2 <= k <= 26:
        raise StoreError("half is 0.1 to 50 points, share and within are percents, and K is 2 to 26")
    if not 0 < seconds < 1e6 or not 0 <= hourly < 1e6:
        raise StoreError("seconds and pay are positive numbers")
    found = [(points, plan(points / 100, share / 100, k, within / 100, seconds, hourly)) for points in _around(half)]
    return desk.page(request, "plan.html", asked=asked, found=found)


def _around(half: float) -> list[float]:
    return sorted({half, *(one for one in (half * 2, half / 2) if 0.1 <= one < 50)}, reverse=True)
