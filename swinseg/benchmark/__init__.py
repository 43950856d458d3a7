"""Measuring swinseg beside its peers: in one process, in turn, with the exactness of the results.

``swinseg benchmark`` is its command line. The largest parts: :mod:`~swinseg.benchmark.timing` runs functions in
turn and compares their results, :mod:`~swinseg.benchmark.suites` has a file for each subject,
:mod:`~swinseg.benchmark.results` is what is kept, and :mod:`~swinseg.benchmark.report`,
:mod:`~swinseg.benchmark.plot` and :mod:`~swinseg.benchmark.readme` show it.
"""
