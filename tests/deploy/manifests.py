"""The manifests: what kustomize makes of them fits the published schemas and hangs together."""

import subprocess
import unittest
from pathlib import Path

import kubernetes_validate
import yaml
from cloudcoil.models.prometheus_operator import v1 as operator

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
# From the oldest that has all that is used (preStop's sleep) to the newest that there is a schema for.
VERSIONS = ["1.30", "1.33", "1.37"]


def kustomize(folder):
    built = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
    if built.returncode:
        raise AssertionError(f"{folder}: {built.stderr}")
    return [document for document in yaml.safe_load_all(built.stdout) if document]


def fits(selector, labels):
    assert not selector.get("matchExpressions"), "only labels are compared here"
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def template(document):
    """The pods that a document makes; None where it makes none."""
    match document["kind"]:
        case "Deployment" | "StatefulSet":
            return document["spec"]["template"]
        case "CronJob":
            return document["spec"]["jobTemplate"]["spec"]["template"]


class Overlay:
    def __init__(self, name):
        self.name, self.documents = name, kustomize(KUBERNETES / "overlays" / name)

    def of(self, *kinds):
        return [document for document in self.documents if document["kind"] in kinds]

    def one(self, kind, name):
        found = [document for document in self.of(kind) if document["metadata"]["name"] == name]
        assert len(found) == 1, f"{self.name}: {len(found)} {kind} {name}"
        return found[0]

    def templates(self):
        return {document["metadata"]["name"]: made for document in self.documents if (made := template(document))}


class Manifests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.overlays = [Overlay(name) for name in OVERLAYS]

    def each(self):
        for overlay in self.overlays:
            with self.subTest(overlay.name):
                yield overlay

    def test_there_are_overlays_for_development_and_production(self):
        self.assertEqual(OVERLAYS, ["dev", "production", "production-redis"])

    def test_they_fit_the_published_schemas(self):
        for overlay in self.each():
            for document in overlay.documents:
                if document["apiVersion"] == "monitoring.coreos.com/v1":
                    # The model ignores what it does not know: what it gives back has to be all that was put in.
                    model = getattr(operator, document["kind"]).model_validate(document)
                    back = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
                    self.assertEqual(back, document)
                    continue
                for version in VERSIONS:
                    kubernetes_validate.validate(document, version, strict=True)

    def test_all_is_in_the_overlays_namespace(self):
        for overlay in self.each():
            namespaces = {document["metadata"].get("namespace") for document in overlay.documents}
            self.assertEqual(namespaces, {"metacog-dev" if overlay.name == "dev" else "metacog"})

    def test_secrets_are_named_and_never_there(self):
        for overlay in self.each():
            self.assertEqual(overlay.of("Secret"), [])

    def test_config_maps_that_are_named_are_there(self):
        for overlay in self.each():
            there = {document["metadata"]["name"] for document in overlay.of("ConfigMap")}
            claims = {document["metadata"]["name"] for document in overlay.of("PersistentVolumeClaim")}
            for made in overlay.templates().values():
                for volume in made["spec"].get("volumes", []):
                    if "configMap" in volume:
                        self.assertIn(volume["configMap"]["name"], there)
                    if "persistentVolumeClaim" in volume:
                        self.assertIn(volume["persistentVolumeClaim"]["claimName"], claims)

    def test_redis_runs_on_the_projects_file(self):
        for overlay in self.each():
            for document in overlay.of("ConfigMap"):
                if document["metadata"]["name"].startswith("redis-config"):
                    self.assertEqual(document["data"]["redis.conf"], (ROOT / "config/redis.conf").read_text())

    def test_selectors_find_their_pods(self):
        for overlay in self.each():
            labels = [made["metadata"]["labels"] for made in overlay.templates().values()]
            for document in overlay.documents:
                spec = document.get("spec", {})
                match document["kind"]:
                    case "Deployment" | "StatefulSet" | "PodDisruptionBudget":
                        selector = spec["selector"]
                    case "Service":
                        selector = {"matchLabels": spec["selector"]}
                    case "NetworkPolicy":
                        selector = spec["podSelector"]
                    case _:
                        continue
                found = sum(fits(selector, each) for each in labels)
                self.assertEqual(found, 1, f"{document['kind']} {document['metadata']['name']}")

    def test_network_policies_close_all_that_they_do_not_open(self):
        for overlay in self.each():
            policies = overlay.of("NetworkPolicy")
            templates = overlay.templates()
            for name, made in templates.items():
                own = [each for each in policies if fits(each["spec"]["podSelector"], made["metadata"]["labels"])]
                self.assertEqual(len(own), 1, name)
                self.assertEqual(own[0]["spec"]["policyTypes"], ["Ingress", "Egress"])
            # Whom the policies name by labels alone is a pod that is there.
            for policy in policies:
                for rule in policy["spec"].get("egress", []) + policy["spec"].get("ingress", []):
                    for peer in rule.get("to", []) + rule.get("from", []):
                        if "podSelector" in peer and "namespaceSelector" not in peer:
                            there = any(fits(peer["podSelector"], made["metadata"]["labels"]) for made in templates.values())
                            self.assertTrue(there, f"{policy['metadata']['name']}: {peer}")
            egress = overlay.one("NetworkPolicy", "consciousness-system")["spec"]["egress"]
            ports = [port["port"] for rule in egress for port in rule["ports"]]
            self.assertEqual(ports, [6379, 53, 53], "Redis and DNS, and nothing else")

    def test_pods_have_no_privileges(self):
        for overlay in self.each():
            for name, made in overlay.templates().items():
                pod = made["spec"]
                self.assertIs(pod["automountServiceAccountToken"], False, name)
                self.assertIs(pod["securityContext"]["runAsNonRoot"], True, name)
                self.assertEqual(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", name)
                for container in pod["containers"]:
                    context = container["securityContext"]
                    self.assertIs(context["readOnlyRootFilesystem"], True, name)
                    self.assertIs(context["allowPrivilegeEscalation"], False, name)
                    self.assertEqual(context["capabilities"], {"drop": ["ALL"]}, name)
                    for kind in ("requests", "limits"):
                        self.assertEqual(set(container["resources"][kind]), {"cpu", "memory"}, name)

    def test_the_daemon_is_rolled_and_drained(self):
        for overlay in self.each():
            spec = overlay.one("Deployment", "consciousness-system")["spec"]
            self.assertEqual(spec["replicas"], 1 if overlay.name == "dev" else 3)
            self.assertEqual(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0)
            pod = spec["template"]["spec"]
            [container] = pod["containers"]
            self.assertIn("CONSCIOUSNESS__CLUSTER__INSTANCE", [each["name"] for each in container["env"]])
            probes = [container[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")]
            self.assertEqual(probes, ["/livez", "/livez", "/readyz"])
            sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            # shutdown.grace holds drain, last fold and last write.
            self.assertGreaterEqual(pod["terminationGracePeriodSeconds"], sleep + 25)
            self.assertGreaterEqual(len(pod["topologySpreadConstraints"]), 2)

    def test_scalers_find_the_deployment(self):
        for overlay in self.each():
            for scaler in overlay.of("HorizontalPodAutoscaler"):
                overlay.one("Deployment", scaler["spec"]["scaleTargetRef"]["name"])
                self.assertGreaterEqual(scaler["spec"]["minReplicas"], 3)

    def test_streams_can_be_scaled_by(self):
        folder = ROOT / "target/deploy-streams"
        folder.mkdir(parents=True, exist_ok=True)
        up = "../../deploy/kubernetes"
        kustomization = {"resources": [f"{up}/base"], "components": [f"{up}/components/stream-autoscaling"]}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        [scaler] = [document for document in kustomize(folder) if document["kind"] == "HorizontalPodAutoscaler"]
        for version in VERSIONS:
            kubernetes_validate.validate(scaler, version, strict=True)
        kinds = [metric["type"] for metric in scaler["spec"]["metrics"]]
        self.assertEqual(kinds, ["Resource", "Pods"])

    def test_the_rules_are_those_of_the_rule_file(self):
        rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text())
        for overlay in self.each():
            for document in overlay.of("PrometheusRule"):
                self.assertEqual(document["spec"], rules)

    def test_the_monitor_finds_the_service(self):
        for overlay in self.each():
            for monitor in overlay.of("ServiceMonitor"):
                service = overlay.one("Service", "consciousness-system")
                labels = service["metadata"]["labels"]
                self.assertTrue(fits(monitor["spec"]["selector"], labels))
                # The rules ask for this job.
                self.assertEqual(labels[monitor["spec"]["jobLabel"]], "consciousness-system")
                [endpoint] = monitor["spec"]["endpoints"]
                self.assertIn(endpoint["port"], [port["name"] for port in service["spec"]["ports"]])


if __name__ == "__main__":
    unittest.main()
