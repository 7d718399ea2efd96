"""What is run without a cluster: rules, Prometheus' and Alertmanager's settings, units, the backup, and the Dockerfile."""

import importlib.machinery
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
BINARY = ROOT / "target/debug/consciousness-system"


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def passes(self, *command, **options):
        outcome = run(*command, **options)
        self.assertEqual(outcome.returncode, 0, f"{command}:\n{outcome.stdout}{outcome.stderr}")
        return outcome.stdout

    def test_the_dockerfile_is_clean(self):
        self.passes("hadolint", ROOT / "Dockerfile")

    def test_rules_are_rules(self):
        self.passes("promtool", "check", "rules", PROMETHEUS / "rules.yaml")

    def test_each_alert_fires_is_silent_and_resolves(self):
        self.passes("promtool", "test", "rules", "rules.test.yaml", "slo.test.yaml", cwd=PROMETHEUS)
        cases = {}
        for file in ("rules.test.yaml", "slo.test.yaml"):
            for test in yaml.safe_load((PROMETHEUS / file).read_text())["tests"]:
                for case in test["alert_rule_test"]:
                    seen = cases.setdefault(case["alertname"], [])
                    seen.append("fires" if case["exp_alerts"] else "resolved" if "fires" in seen else "silent")
        alerts = {name for name, _ in self.alerts()}
        self.assertEqual(set(cases), alerts)
        for name, seen in cases.items():
            self.assertEqual(set(seen), {"silent", "fires", "resolved"}, name)

    @staticmethod
    def alerts():
        rules = yaml.safe_load((PROMETHEUS / "rules.yaml").read_text())
        return [(rule["alert"], rule) for group in rules["groups"] for rule in group["rules"] if "alert" in rule]

    def test_each_alert_says_what_it_is_and_what_to_do(self):
        for name, rule in self.alerts():
            self.assertIn(rule["labels"]["severity"], ("page", "ticket"), name)
            for text in ("summary", "description", "runbook_url"):
                self.assertTrue(rule["annotations"][text], name)

    def test_the_runbooks_two_alerts_are_as_it_has_them(self):
        rules = dict(self.alerts())
        skew, drops = rules["HeartbeatSkew"], rules["BackpressureDrops"]
        self.assertRegex(skew["expr"], r"^heartbeat_skew_ms\{[^}]*\} > 500$")
        self.assertRegex(drops["expr"], r"^increase\(ws_backpressure_drops_total\{[^}]*\}\[1m\]\) > 100$")
        self.assertEqual((skew["for"], drops["for"]), ("5m", "5m"))

    def test_the_drill_can_provoke_each_alert(self):
        loader = importlib.machinery.SourceFileLoader("drill", str(ROOT / "deploy/drill"))
        drill = importlib.util.module_from_spec(importlib.util.spec_from_loader("drill", loader))
        loader.exec_module(drill)
        self.assertEqual(list(drill.PROVOCATIONS), [name for name, _ in self.alerts()])

    def test_prometheus_and_alertmanager_take_their_settings(self):
        shutil.copytree(PROMETHEUS, self.folder / "prometheus")
        (self.folder / "token").write_text("x")
        settings = self.folder / "prometheus/prometheus.yaml"
        settings.write_text(settings.read_text().replace("/etc/prometheus/consciousness-system.token", str(self.folder / "token")))
        self.passes("promtool", "check", "config", settings)
        self.passes("amtool", "check-config", PROMETHEUS / "alertmanager.yaml")

    def test_systemd_takes_the_units(self):
        for name in ("consciousness-system", "consciousness-redis-backup"):
            program = self.folder / name
            program.write_text("")
            program.chmod(0o755)
        units = []
        for unit in sorted((ROOT / "deploy/systemd").iterdir()):
            copy = self.folder / unit.name
            # Programs that are there, in place of where a package puts them.
            copy.write_text(unit.read_text().replace("/usr/bin/", f"{self.folder}/"))
            units.append(copy)
        outcome = run("systemd-analyze", "verify", "--man=no", *units)
        said = [line for line in outcome.stderr.splitlines() if "consciousness" in line]
        self.assertEqual((outcome.returncode, said), (0, []), outcome.stderr)

    def test_the_daemon_takes_the_clusters_settings(self):
        (self.folder / "2025-11-25.hs256").write_text("x" * 40)
        env = os.environ | {"CONSCIOUSNESS__AUTH__KEYS_DIR": str(self.folder)}
        config = ROOT / "deploy/kubernetes/base/config.toml"
        shown = self.passes(BINARY, "check-config", "--config", config, env=env)
        for line in ('grace = "25s"', 'trusted_proxies = ["10.0.0.0/8"]', 'keys_dir = "', 'deny_file = "/etc/consciousness-system/deny/list"'):
            self.assertIn(line, shown)

    def test_backups_are_made_checked_and_pruned(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        users = self.folder / "users.acl"
        users.write_text(
            "user default off\n"
            "user consciousness on >one ~meta:* -@all +@read +@write +@stream +@scripting +@connection -@dangerous\n"
            "user backup on >two -@all +psync +sync +replconf +ping\n"
        )
        command = ["redis-server", ROOT / "config/redis.conf", "--port", port, "--dir", self.folder, "--aclfile", users]
        server = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
        try:
            backups = self.folder / "backups"
            backups.mkdir()
            metrics = self.folder / "backup.prom"
            env = {"BACKUP_DIR": backups, "BACKUP_KEEP": 2, "BACKUP_METRICS": metrics, "REDIS_PORT": port, "REDIS_USER": "backup"}
            env = os.environ | {key: str(value) for key, value in env.items()}
            backup = ROOT / "deploy/redis/backup"
            deadline = time.monotonic() + 20
            while (first := run(backup, env=env | {"REDISCLI_AUTH": "two"})).returncode:
                self.assertLess(time.monotonic(), deadline, first.stderr)
                time.sleep(0.1)
            self.assertRegex(first.stdout, r"/meta-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\.rdb\n$")
            self.assertRegex(metrics.read_text(), r"\nredis_backup_timestamp_seconds \d{10}\n$")
            for old in ("meta-2020-01-01T00:00:00Z.rdb", "meta-2020-01-02T00:00:00Z.rdb", "of-somebody-else.rdb"):
                (backups / old).write_text("")
            metrics.unlink()
            wrong = run(backup, env=env | {"REDISCLI_AUTH": "three"})
            self.assertNotEqual(wrong.returncode, 0, "a wrong password is no backup")
            self.assertFalse(metrics.exists())
            self.passes(backup, env=env | {"REDISCLI_AUTH": "two"})
            left = sorted(path.name for path in backups.iterdir())
            self.assertIn("of-somebody-else.rdb", left)
            dumps = [name for name in left if re.match(r"meta-\d", name)]
            self.assertEqual(len(dumps), 2, left)
            self.assertNotIn("meta-2020-01-01T00:00:00Z.rdb", dumps)
            self.assertEqual(run(backup, env=env | {"BACKUP_KEEP": "none"}).returncode, 2)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    unittest.main()
