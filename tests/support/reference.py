"""``make reference``: write docs/reference/api.md from the code."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from cxrd.settings import Models, Settings
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.web.reference import markdown
from cxrd.web.server import application

HEAD = """# REST API

Written by `make reference` from the code; a test holds it equal. A running node shows the same at `/docs`, and to
programs at `/openapi.json`. Who may ask is told in [how-to/page.md](../how-to/page.md). Whatever is not answered as
asked comes as `application/problem+json` (RFC 9457) with a bounded `code`: the reason that keeps a film from being
judged, `busy` and `no_models`, or the words of the status.

```sh
curl -F file=@film.dcm -F file=@other.png http://127.0.0.1:8080/api/v1/predict
```

An uploaded film goes the way that `cxrd analyse` goes, in a process of its own: on the CPU, after what the PACS sends,
and it is not kept. `?pictures=true` adds the film as a viewer shows it and the heat of its findings; the page at
`/upload` does the same for a person. What the models said of its pixels is remembered for a while (`[cache]`),
in the database or in Redis (`[redis]`).

"""

if __name__ == "__main__":
    with TemporaryDirectory() as name:
        folder = Path(name)
        app = application(
            Settings(models=Models(dir=folder)),
            Database(f"sqlite:///{folder}/cxrd.db"),
            PayloadStore(folder / "payload"),
        )
        sys.stdout.write(HEAD + markdown(app.openapi()))
