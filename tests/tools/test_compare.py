"""tools/compare.py: what it prints, and its page in a real browser."""

from __future__ import annotations

from support.browser import launched_browser, violations, watch
from support.report_folder import make_record
from support.scripts import assert_one_clear_line, run
from swinseg.report.storage import save_record


def test_compare__writes_a_page_that_shows_what_changed(tmp_path, capsys):
    folders = []
    for seed in (0, 2):  # the second one is worse
        folders.append(tmp_path / f'run{seed}')
        save_record(make_record(folders[-1], seed=seed, images=4), folders[-1])
    assert run('compare', *folders, '--shown', 2) == 0
    out = capsys.readouterr().out
    assert 'lost most: ' in out
    assert f'page: {folders[1] / "compare.html"}' in out
    problems: list[str] = []
    with launched_browser() as browser:
        page = browser.new_page(viewport={'width': 390, 'height': 800})
        watch(page, 'file://', problems)
        page.goto((folders[1] / 'compare.html').as_uri())
        assert page.evaluate('document.documentElement.scrollWidth') == 390
        assert page.locator('#lost figure').count() == 2
        changes = [
            float(text) for text in page.locator('#classes .rate span').all_inner_texts()[:3]
        ]
        assert changes == sorted(changes)
        assert violations(page) == []
    assert problems == []


def test_compare__says_what_is_no_report(tmp_path, capsys):
    assert_one_clear_line(run('compare', tmp_path, tmp_path), capsys, 'has no record.json')


def test_compare__refuses_to_show_no_image(tmp_path, capsys):
    code = run('compare', tmp_path, tmp_path, '--shown', 0)
    assert_one_clear_line(code, capsys, 'at least one of the worst images, but 0')
