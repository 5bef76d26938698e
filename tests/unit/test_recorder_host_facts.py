from __future__ import annotations

from recorder.host_facts import disk_free_bytes, temperature_c


def test_the_hottest_plausible_sensor_counts(tmp_path) -> None:
    assert temperature_c(tmp_path) is None
    for place, text in {
        "class/thermal/thermal_zone0/temp": "48000\n",
        "class/thermal/thermal_zone1/temp": "broken",
        "class/hwmon/hwmon0/temp1_input": "71500\n",
        "class/hwmon/hwmon0/temp2_input": "255000\n",
        "class/hwmon/hwmon1/temp1_input": "-128000\n",
    }.items():
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert temperature_c(tmp_path) == 71.5


def test_a_disk_that_cannot_be_asked_is_unknown(tmp_path) -> None:
    assert disk_free_bytes(tmp_path) > 0
    assert disk_free_bytes(tmp_path / "nowhere") is None
