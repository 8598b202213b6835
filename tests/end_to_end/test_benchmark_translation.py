"""scripts/benchmarks/translation.sh in its tiny form."""


def test_it_ends_with_a_table_and_a_plot(recipe, tmp_path):
    small = {"RATES": "0 0.5", "DEPTHS": "6 3"}
    done = recipe("benchmarks/translation", tmp_path, UPDATES="10", **small)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if "|" in line]
    assert rows[0][2:] == ["BLEU, p = 0", "of full", "sentences/s", "BLEU, p = 0.5", "of full", "sentences/s"]
    assert [row[0] for row in rows[2:4]] == ["6+6", "3+3"]
    full, half = (int(row[1].replace(",", "")) for row in rows[2:4])
    assert full - half == 3 * (1_696 + 2_816)  # an encoder and a decoder layer of width 16, FFN 16
    assert (tmp_path / "scores.png").stat().st_size > 10_000
    again = recipe("benchmarks/translation", tmp_path, UPDATES="10", **small)
    assert "train: there already" in again.stderr and again.stdout == done.stdout


def test_data_must_be_named(recipe, tmp_path):
    done = recipe("benchmarks/translation", tmp_path, status=2, TINY="")
    assert done.stderr.splitlines()[-1].startswith("translation: DATA must name a folder with")
