"""What a person sees of a node, and may set going."""

from __future__ import annotations

import re
from io import BytesIO

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from cxrd.serving import Web
from cxrd.store import backfills, jobs, lanes
from cxrd.store.schema import JobKind
from cxrd.web.server import application
from support.browsing import DEAD, Filled, local, remote
from support.rows import arrive, rows


def picture(client: TestClient, address: str) -> np.ndarray:
    """Pixels of a PNG."""
    answer = client.get(address)
    assert (200, "image/png") == (answer.status_code, answer.headers["content-type"])
    return np.asarray(Image.open(BytesIO(answer.content)))


def test_the_list_is_filtered(client: TestClient, studies: dict[str, str]) -> None:
    """By state, source and a part of UID or accession number; what does not fit is not there."""
    lateral, normal = studies["lateral"], studies["normal"]
    for query, found, missing in (
        ("state=refused", lateral, normal),
        ("text=A-normal", normal, lateral),
        (f"text={lateral}", lateral, normal),
        ("source=pacs&text=lateral", lateral, normal),
    ):
        page = client.get(f"/?{query}").text
        assert (True, False) == (found in page, missing in page), query
    for nothing in ("source=elsewhere", "text=%25", "state=nonsense"):
        assert "No study fits the filter." in client.get(f"/?{nothing}").text


def test_older_studies_are_one_link_away(client: TestClient, filled: Filled) -> None:
    """Every study is on exactly one page, whatever arrives meanwhile."""
    arrive(filled.database, *range(100, 100 + 60), study_uid="1.9.1")
    for number in range(200, 260):
        arrive(filled.database, number, study_uid=f"1.9.{number}")
    first = client.get("/?source=pacs").text
    arrive(filled.database, 300, study_uid="1.9.300")
    (link,) = re.findall(r'href="([^"]+)" rel="next"', first)
    second = client.get(link.replace("&amp;", "&")).text
    on = [set(re.findall(r'href="/studies/([^"]+)"', page)) for page in (first, second)]
    assert set() == on[0] & on[1]
    assert {f"1.9.{n}" for n in range(200, 260)} <= on[0] | on[1]


def test_a_study_shows_its_film_with_heat_and_boxes(client: TestClient, studies: dict[str, str]) -> None:
    """As layers of one size; the heat is clear where there is none and lies where the box is."""
    page = client.get(f"/studies/{studies['opacity']}?heat=tiny/").text
    film, heat = re.findall(r'href="(/studies/[^"]+\.png)" width', page)
    assert 2 == picture(client, film).ndim
    layer = picture(client, heat)
    assert 4 == layer.shape[2]
    assert 0 == layer[..., 3].min()
    assert layer[..., 3].max() > 240
    assert 'opacity="0.5"' in page


def test_an_accession_number_opens_the_whole_page(client: TestClient, filled: Filled, studies: dict[str, str]) -> None:
    """Films, findings and the patient too, as the UID does."""
    wanted = filled.settings.model_copy(update={"web": Web(show_patient=True)})
    for browser in (client, local(application(wanted, filled.database, filled.payload))):
        by_uid = browser.get(f"/studies/{studies['opacity']}?heat=tiny/").text
        assert "film.png" in by_uid
        assert by_uid == browser.get("/studies/A-opacity?heat=tiny/").text


def test_strength_and_heat_are_chosen_by_address(client: TestClient, studies: dict[str, str]) -> None:
    """So that a page without scripts can do it too; nonsense falls back."""
    base = f"/studies/{studies['opacity']}"
    assert 'opacity="0.25"' in client.get(f"{base}?heat=tiny/&strength=25").text
    assert "heat/" not in client.get(f"{base}?heat=none").text
    assert 200 == client.get(f"{base}?film=1.2&heat=nobody/nothing&strength=-3").status_code


def test_findings_say_probability_threshold_and_answer(client: TestClient, studies: dict[str, str]) -> None:
    """In words beside the bar, and whether the film is inside the intended use."""
    page = client.get(f"/studies/{studies['opacity']}").text
    assert re.search(r'aria-label="probability 0\.\d\d, threshold 0\.\d\d"', page)
    assert "inside its intended use" in page
    for word in ("What happens next", "Objects and deliveries", "Audit trail", "study analysed"):
        assert word in page


def test_films_are_for_operators_only(client: TestClient, studies: dict[str, str]) -> None:
    """Somebody elsewhere sees states and findings, and no picture of a patient."""
    stranger = remote(client.app)  # type: ignore[arg-type]
    address = f"/studies/{studies['opacity']}"
    page = stranger.get(address).text
    assert "Films are shown to operators only." in page
    assert ".png" not in page
    film = re.findall(r'href="(/studies/[^"]+film\.png)"', client.get(address).text)[0]
    assert 403 == stranger.get(film).status_code
    assert 403 == stranger.get(film.replace("film.png", "heat/tiny/Effusion.png")).status_code


def test_a_patient_is_named_where_the_site_wants_it(filled: Filled, studies: dict[str, str]) -> None:
    """And only to an operator."""
    database, payload, settings = filled.database, filled.payload, filled.settings
    wanted = settings.model_copy(update={"web": Web(show_patient=True)})
    addresses = ("/", f"/studies/{studies['normal']}")
    for address in addresses:
        assert "ID-normal" not in local(application(settings, database, payload)).get(address).text
        assert "ID-normal" in local(application(wanted, database, payload)).get(address).text
        assert "ID-normal" not in remote(application(wanted, database, payload)).get(address).text


def test_a_dead_job_is_retried(client: TestClient, filled: Filled, studies: dict[str, str]) -> None:
    """Once; its error and what to do stand on the study's page before."""
    address = f"/studies/{studies['dead']}"
    before = client.get(address).text
    assert DEAD in before
    assert "waits for a person" in before
    (form,) = re.findall(r'action="([^"]+/retry)"', before)
    assert "The job is ready again." in client.post(form).text
    assert 409 == client.post(form).status_code
    assert [("ready", 0)] == rows(filled.database, f"SELECT state, attempts FROM job WHERE id = {form.split('/')[-2]}")  # noqa: S608 - a number of ours


def test_a_dead_job_is_dismissed_with_its_reason(client: TestClient, filled: Filled, studies: dict[str, str]) -> None:
    """Once; the page says who gave it up and why, and offers to have it back."""
    address = f"/studies/{studies['dead']}"
    (form,) = re.findall(r'action="([^"]+/dismiss)"', client.get(address).text)
    for nothing in ({}, {"reason": " "}):
        assert 409 == client.post(form, data=nothing).status_code
    done = client.post(form, data={"reason": "reported by hand"}).text
    assert "The job is dismissed." in done
    assert f"dismissed by loopback: reported by hand ({DEAD})" in done
    assert [True, False] == [f'/{act}"' in done for act in ("retry", "dismiss")]
    assert 409 == client.post(form, data={"reason": "again"}).status_code
    assert studies["dead"] in client.get("/?state=dismissed").text
    assert "The job is ready again." in client.post(form.replace("dismiss", "retry")).text


def test_a_stranger_dismisses_nothing(client: TestClient, filled: Filled, studies: dict[str, str]) -> None:
    """No form is offered, and none is taken."""
    stranger = remote(client.app)  # type: ignore[arg-type]
    assert "/dismiss" not in stranger.get(f"/studies/{studies['dead']}").text
    ((job,),) = rows(filled.database, "SELECT id FROM job WHERE state = 'dead'")
    address = f"/studies/{studies['dead']}/jobs/{job}/dismiss"
    assert 403 == stranger.post(address, data={"reason": "why"}).status_code
    assert [("dead",)] == rows(filled.database, f"SELECT state FROM job WHERE id = {job}")  # noqa: S608 - a number of ours


def test_a_destination_is_paused_and_resumed(client: TestClient, filled: Filled) -> None:
    """The button says what it will do, and the trail who did it."""
    assert "The destination is paused" in client.post("/destinations/pacs/pause").text
    assert [(1,)] == [(int(p),) for (p,) in rows(filled.database, "SELECT paused FROM dest")]
    assert "Resume sending to pacs" in client.get("/").text
    assert "gets its results again" in client.post("/destinations/pacs/resume").text
    assert 'role="status">The destination gets' in client.get("/?done=resumed").text
    assert "No pneumothorax" not in client.get("/?done=No+pneumothorax").text  # an address puts no words on the page
    assert [("loopback",)] == rows(filled.database, "SELECT DISTINCT actor FROM audit WHERE subject = 'pacs'")
    assert 404 == client.post("/destinations/nobody/pause").status_code


def test_a_destination_of_another_host_is_none_that_is_gone(client: TestClient, filled: Filled) -> None:
    """Hosts are reloaded one after the other; this one cannot know what the others' configurations name."""
    with filled.database.write() as connection:
        lanes.register(connection, ["new", "old"])
        lanes.serve(connection, filled.database.now(connection) - 30, ["new"])
    page = client.get("/").text
    assert re.search(r"new<br><span[^>]*>not in this host&#39;s configuration, served 3\d s ago</span>", page)
    assert re.search(r"old<br><span[^>]*>not in this host&#39;s configuration</span>", page)
    assert "not configured any more" not in page


def test_an_archive_and_a_question_are_no_destinations(client: TestClient, filled: Filled) -> None:
    """They stand in the queue, with their direction; a destination stands in its table once."""
    with filled.database.write() as connection:
        backfills.start(connection, 0.0, "old", first="20200101", last="20200101", slices=[{"n": 1}], actor="test")
        jobs.enqueue(
            connection, 0.0, JobKind.COMMITMENT, dedupe="c", study_uid="", priority=50, payload={}, lane="pacs"
        )
    page = client.get("/").text
    assert all(said in page for said in ("fetch from old", "commitment to pacs", "deliver to pacs"))
    assert 1 == page.count("Pause sending to ")


def test_a_study_is_worked_on_again(client: TestClient, filled: Filled, studies: dict[str, str]) -> None:
    """As by `cxrd studies requeue`."""
    assert "worked on again" in client.post(f"/studies/{studies['lateral']}/requeue").text
    assert 409 == client.post("/studies/1.2.3.4/requeue").status_code
    assert 404 == client.get("/studies/1.2.3.4").status_code


def test_a_study_without_its_films_is_not_analysed_anew(
    client: TestClient, filled: Filled, studies: dict[str, str]
) -> None:
    """Retention has removed them: it would fail for want of them, and page somebody."""
    with filled.database.write() as connection:
        connection.exec_driver_sql("UPDATE instance SET removed_at = 1")
    answer = client.post(f"/studies/{studies['lateral']}/requeue")
    assert (409, True) == (answer.status_code, "send the study again" in answer.text)
    assert [] == rows(filled.database, "SELECT id FROM job WHERE kind = 'infer' AND state != 'done'")


def test_models_show_their_scores_against_their_own(client: TestClient) -> None:
    """Each class with its threshold; without enough films nothing is said of drift."""
    page = client.get("/models").text
    assert "tiny" in page
    assert page.count("too few films") == page.count('class="plot"') > 3
    assert "not running here" in page


def test_what_a_sender_wrote_is_text(client: TestClient, filled: Filled) -> None:
    """An accession number may hold anything and runs nowhere."""
    arrive(filled.database, 77, study_uid="1.7", accession="<script>alert(1)")
    assert "<script>alert" not in client.get("/").text + client.get("/studies/1.7").text
