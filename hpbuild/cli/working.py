"""Where the modules of a release are worked on, and with which cache, as the options say it."""

import os
from typing import TYPE_CHECKING

from hpbuild.assembly.start import HERE, Start, all_cores
from hpbuild.cli.output import Output
from hpbuild.codes import cli as codes
from hpbuild.errors import HpbuildError

if TYPE_CHECKING:
    from hpbuild.assembly.work import Work
    from hpbuild.cache.store import Store


def chosen_work(jobs: int | None, dask: str, output: Output, *, cache: bool, start: Start = HERE) -> "Work":
    """The options as a value; the cache only with ``cache``, and only when its folder may be used (a line of
    the log says why not). ``start`` as in ``Work``. Raises HpbuildError HP9007 for an
    unusable HPBUILD_CACHE_SIZE."""
    from hpbuild.assembly.work import Work

    store = _store(output) if cache else None
    return Work(jobs=jobs or all_cores(), store=store, dask=dask, start=start)


def _store(output: Output) -> "Store | None":
    from hpbuild.cache.engine import engine_digest
    from hpbuild.cache.folder import SIZE, cache_folder, cache_size
    from hpbuild.cache.store import open_store

    limit = cache_size(os.environ)
    if limit is None:
        cause = f"the value is {os.environ[SIZE][:40]!r}"
        raise HpbuildError(codes.BAD_ENVIRONMENT, SIZE, cause)
    folder = cache_folder(os.environ)
    if folder is None:
        output.log("no cache: no folder for it")
        return None
    store, trouble = open_store(folder, limit, engine_digest())
    if store is None:
        output.log(f"no cache: {folder}: {trouble}")
    return store
