"""Loaded by Python itself at its start: lets senlin-tempest-plugin ask for containers.

The plugin's profile specs, and the literals that repeat their types, are replaced when its modules are loaded;
what only a virtual machine has (a flavor, a soft reboot) becomes what a container has. No assertion is touched.
"""

import importlib.abc
import importlib.machinery
import sys

PLUGIN = "senlin_tempest_plugin"

# In every module of its api tests, and in its helpers.
EVERYWHERE = [
    ("os.nova.server-1.0", "container.dockerinc.docker-1.0"),
    ("'os.nova.server'", "'container.dockerinc.docker'"),
    ("os.heat.stack-1.0", "host.dockerinc.engine-1.0"),
    ("'os.heat.stack'", "'host.dockerinc.engine'"),
    ("['flavor'] = 'new_flavor'", "['command'] = 'sleep 2'"),
    ("metadata={'simulated_wait_time': 10}", "spec=constants.spec_slow_server"),
    ("'reboot'", "'restart'"),
    ("'type': 'SOFT'", "'wait_time': 0"),
]

CONTAINER = {
    "type": "container.dockerinc.docker",
    "version": "1.0",
    "properties": {"name": "new-server-test", "image": "cirros-0.4.0-x86_64-disk", "host_cluster": "tempest-hosts"},
}
# Another type: in Senlin the version is part of a type.
OTHER = {**CONTAINER, "version": "1.1"}
SLOW = {**CONTAINER, "properties": {**CONTAINER["properties"], "host_cluster": "tempest-slow-hosts"}}


class Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname):
        # Never from a cache: the text is another one.
        source = self.get_data(self.path).decode()
        for old, new in EVERYWHERE:
            source = source.replace(old, new)
        if "constants.spec_slow_server" in source and "import constants" not in source:
            source = source.replace("from senlin_tempest_plugin.common import utils",
                                    "from senlin_tempest_plugin.common import constants\n"
                                    "from senlin_tempest_plugin.common import utils", 1)
        return compile(source, self.path, "exec", dont_inherit=True)

    def exec_module(self, module):
        super().exec_module(module)
        if module.__name__ == f"{PLUGIN}.common.constants":
            module.spec_nova_server, module.spec_heat_stack, module.spec_slow_server = CONTAINER, OTHER, SLOW


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if not fullname.startswith(PLUGIN):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


sys.meta_path.insert(0, Finder())
