"""The page in a real browser: seen in light and dark, wide and narrow, by keyboard, and without scripts.

``--screenshots DIR`` keeps a picture of each.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.wait import WebDriverWait

from cxrd.demo.samples import samples
from cxrd.service.prediction import Predictor
from cxrd.settings import Database as DatabaseSection
from cxrd.web.server import application
from support.browsing import Filled
from support.chromium import browser, complaints, emulate, faults, is_wider_than_the_window, served
from support.node import until
from support.rows import arrive

pytestmark = pytest.mark.flow
PAGES = (
    "/",
    "/studies/{opacity}",
    "/studies/{dead}",
    "/studies/{lateral}",
    "/models",
    "/upload",
    "/docs",
    "/studies/1.2.3.4",
)
NOWHERE = "1.2.3.4"
SCREENS = {"light": 1400, "dark": 1400, "narrow": 390}
"""Width in pixels."""


@pytest.fixture(scope="module")
def site(worked: Filled) -> Iterator[str]:
    """Address of a node that has worked."""
    url = str(worked.database.engine.url)
    predictor = Predictor(worked.settings.model_copy(update={"database": DatabaseSection(url=url)}))
    with served(application(worked.settings, worked.database, worked.payload, predict=predictor)) as address:
        yield address
    predictor.close()


@pytest.fixture(scope="module")
def chrome() -> Iterator[Chrome]:
    """One browser for this file."""
    with browser() as opened:
        yield opened


def focused(chrome: Chrome) -> str:
    """Text or name of what has the focus."""
    element = chrome.switch_to.active_element
    return element.get_attribute("name") or element.get_attribute("aria-label") or element.text


def press(chrome: Chrome, *keys: str) -> None:
    """Press keys, one after the other."""
    for key in keys:
        ActionChains(chrome).send_keys(key).perform()


def follow(chrome: Chrome, by: str, what: str) -> None:
    """Click on what leads to another page, and wait for that: what is found too soon belongs to the page before."""
    page = chrome.find_element(By.TAG_NAME, "html")
    chrome.find_element(by, what).click()
    WebDriverWait(chrome, 20).until(staleness_of(page))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("look", SCREENS)
def test_everybody_can_read_it(
    chrome: Chrome, site: str, worked: Filled, page: str, look: str, pytestconfig: pytest.Config
) -> None:
    """Axe finds nothing: names, landmarks, headings, contrast; no sideways scrolling; no complaint but of a refusal."""
    emulate(chrome, dark=look == "dark", width=SCREENS[look])
    complaints(chrome)
    chrome.get(site + page.format(**worked.studies))
    if folder := pytestconfig.getoption("--screenshots"):
        name = "".join(c if c.isalnum() else "-" for c in page)
        chrome.save_screenshot(str(Path(folder) / f"page{name}-{look}.png"))
    assert [] == faults(chrome)
    assert not is_wider_than_the_window(chrome)
    assert page.endswith(NOWHERE) == bool(complaints(chrome))


def test_an_ordinary_screen_shows_every_column(chrome: Chrome, site: str) -> None:
    """The overview's tables stand whole at 1,280 px: the button that pauses a destination was cut off."""
    emulate(chrome, dark=False, width=1280)
    chrome.get(site)
    cut = "return [...document.querySelectorAll('.scroll')].filter(x => x.scrollWidth > x.clientWidth)"
    assert [] == chrome.execute_script(f"{cut}.map(x => x.getAttribute('aria-labelledby'))")


def test_it_is_used_by_keyboard(chrome: Chrome, site: str, worked: Filled) -> None:
    """Skip link first; a study opens by Enter; the heat follows the arrow keys, and what has the focus is seen."""
    emulate(chrome, dark=False, width=1400)
    chrome.get(site)
    press(chrome, Keys.TAB)
    assert "Skip to content" == focused(chrome)
    press(chrome, Keys.ENTER, Keys.TAB)
    seen = [focused(chrome)]
    while "A-normal" not in seen[-1] and len(seen) < 40:
        press(chrome, Keys.TAB)
        seen.append(focused(chrome))
        outline = chrome.switch_to.active_element.value_of_css_property("outline-style")
        assert "none" != outline, seen[-1]
    assert {"state", "source", "text", "Filter"} <= set(seen)
    press(chrome, Keys.ENTER)
    until(lambda: worked.studies["normal"] in chrome.current_url, seconds=10, what="the study opens")
    chrome.get(f"{site}/studies/{worked.studies['opacity']}?heat=tiny/")
    slider = chrome.find_element(By.ID, "strength")
    slider.send_keys(Keys.END)
    assert "1" == chrome.find_element(By.ID, "heat").get_attribute("opacity")
    slider.send_keys(Keys.HOME)
    assert "0" == chrome.find_element(By.ID, "heat").get_attribute("opacity")
    assert "0 %" == chrome.find_element(By.ID, "strength-said").text


def test_a_new_study_appears_by_itself(chrome: Chrome, site: str, worked: Filled) -> None:
    """Without a reload, and not while somebody has paused it."""
    emulate(chrome, dark=False, width=1400)
    chrome.get(site)
    chrome.execute_script("window.sameDocument = true")
    arrive(worked.database, 500, study_uid="1.9.500")
    until(lambda: "1.9.500" in chrome.page_source, seconds=20, what="the study is on the page")
    assert chrome.execute_script("return window.sameDocument")
    pause = chrome.find_element(By.ID, "pause-updates")
    pause.click()
    assert "true" == pause.get_attribute("aria-pressed")
    arrive(worked.database, 501, study_uid="1.9.501")
    before = chrome.find_element(By.ID, "updated").text
    chrome.execute_async_script("update().then(arguments[0])")
    assert before == chrome.find_element(By.ID, "updated").text
    assert "1.9.501" not in chrome.page_source
    pause.click()
    until(lambda: "1.9.501" in chrome.page_source, seconds=20, what="the page goes on")


def test_it_works_without_scripts(chrome: Chrome, site: str, worked: Filled) -> None:
    """Filter, heat, its strength and a button."""
    chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        chrome.get(f"{site}/?state=refused")
        follow(chrome, By.LINK_TEXT, "A-lateral")
        follow(chrome, By.CSS_SELECTOR, "button[aria-label^='Work on it again']")
        assert "worked on again" in chrome.find_element(By.CSS_SELECTOR, "[role=status]").text
        chrome.get(f"{site}/studies/{worked.studies['opacity']}")
        follow(chrome, By.LINK_TEXT, "tiny")
        chrome.find_element(By.ID, "strength").send_keys(Keys.END)
        follow(chrome, By.CSS_SELECTOR, ".scriptless")
        assert "1.0" == chrome.find_element(By.ID, "heat").get_attribute("opacity")
    finally:
        chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_films_are_really_drawn(chrome: Chrome, site: str, worked: Filled) -> None:
    """Both layers load, at the same place and size."""
    emulate(chrome, dark=False, width=1400)
    chrome.get(f"{site}/studies/{worked.studies['opacity']}?heat=tiny/")
    loads = """const done = arguments[0], all = [...document.querySelectorAll(".layers image")];
      Promise.all(all.map(i => fetch(i.href.baseVal).then(r => r.status))).then(done)"""
    assert [200, 200] == chrome.execute_async_script(loads)
    film, heat = (chrome.find_element(By.CSS_SELECTOR, f".layers .{name}").rect for name in ("picture", "heat"))
    assert film == heat
    assert film["width"] > 200


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Phantom films as a person has them."""
    folder = tmp_path_factory.mktemp("films")
    for name, data in samples("browser", rows=256).items():
        (folder / f"{name}.dcm").write_bytes(data)
    return {path.stem: path for path in folder.iterdir()}


@pytest.mark.parametrize("look", SCREENS)
def test_a_film_is_judged_by_keyboard(
    chrome: Chrome, site: str, films: dict[str, Path], look: str, pytestconfig: pytest.Config
) -> None:
    """Chosen, sent by Enter, and shown with its heat; whoever cannot see it is told as much."""
    emulate(chrome, dark=look == "dark", width=SCREENS[look])
    complaints(chrome)
    chrome.get(f"{site}/upload")
    chosen = chrome.find_element(By.ID, "films")
    chosen.send_keys("\n".join(str(films[name]) for name in ("opacity", "lateral")))
    chrome.find_element(By.CSS_SELECTOR, "form.drop button").send_keys(Keys.ENTER)
    until(lambda: chrome.find_elements(By.ID, "film-2"), seconds=60, what="both films are told of")
    shown = [figure.accessible_name for figure in chrome.find_elements(By.CSS_SELECTOR, ".layers")]
    assert "Film 1, view PA" == shown[0]
    assert any("with evidence of tiny for" in name for name in shown[1:])
    film, heat = (chrome.find_element(By.CSS_SELECTOR, f"figure:nth-child(2) {name}").rect for name in ("use", ".heat"))
    assert film == heat
    assert film["width"] > 100
    if folder := pytestconfig.getoption("--screenshots"):
        chrome.save_screenshot(str(Path(folder) / f"page-upload-judged-{look}.png"))
    assert [] == faults(chrome)
    assert not is_wider_than_the_window(chrome)
    assert [] == complaints(chrome)


def test_a_film_is_dropped_on_the_page(chrome: Chrome, site: str, films: dict[str, Path]) -> None:
    """And judged without another click."""
    emulate(chrome, dark=False, width=1400)
    chrome.get(f"{site}/upload")
    dropping = """const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(atob(arguments[0]), c => c.charCodeAt(0))], "dropped.dcm"));
      const form = document.querySelector("form.drop");
      for (const name of ["dragenter", "dragover", "drop"])
        form.dispatchEvent(new DragEvent(name, {bubbles: true, cancelable: true, dataTransfer: data}));"""
    chrome.execute_script(dropping, b64encode(films["opacity"].read_bytes()).decode())
    until(lambda: chrome.find_elements(By.ID, "film-1"), seconds=60, what="the film is told of")
    assert "dropped.dcm" == chrome.find_element(By.ID, "film-1").text
