import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;

import org.opensearch.common.settings.Setting;
import org.opensearch.common.settings.Settings;
import org.opensearch.common.util.concurrent.ThreadContext;
import org.opensearch.core.rest.RestStatus;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.ActionPlugin;
import org.opensearch.plugins.Plugin;
import org.opensearch.rest.BytesRestResponse;
import org.opensearch.rest.RestHandler;
import org.opensearch.transport.Netty4Plugin;

/**
 * One node of OpenSearch, from its own jars: `java -cp 'lib/*' Server.java HOME PORT [SETTING=VALUE]...`. Ends with its
 * standard input.
 */
public final class Server extends Node {
    private Server(Settings settings) {
        super(
            InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "node"),
            List.of(Netty4Plugin.class, Authorization.class),
            true);
    }

    public static void main(String[] arguments) throws Exception {
        var home = Path.of(arguments[0]);
        Files.createDirectories(home);
        var settings = Settings.builder()
            .put("path.home", home.toString())
            .put("cluster.name", "countersign")
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("http.port", arguments[1])
            .put("transport.port", "0")
            .put("http.type", "netty4")
            .put("transport.type", "netty4")
            .put("node.processors", 2)
            .put("cluster.routing.allocation.disk.threshold_enabled", false);
        for (var argument : List.of(arguments).subList(2, arguments.length)) {
            var setting = argument.split("=", 2);
            settings.put(setting[0], setting[1]);
        }
        try (var node = new Server(settings.build())) {
            node.start();
            System.out.println("started");
            System.in.read();
        }
    }

    /** Where `authorization` is set, answers 401 to who does not send it. The jars have no check of their own. */
    public static final class Authorization extends Plugin implements ActionPlugin {
        private static final Setting<String> WANTED = Setting.simpleString("authorization", Setting.Property.NodeScope);
        private final String wanted;

        public Authorization(Settings settings) {
            wanted = WANTED.get(settings);
        }

        @Override
        public List<Setting<?>> getSettings() {
            return List.of(WANTED);
        }

        @Override
        public UnaryOperator<RestHandler> getRestHandlerWrapper(ThreadContext context) {
            return wanted.isEmpty() ? handler -> handler : handler -> (request, channel, client) -> {
                if (wanted.equals(request.header("Authorization"))) {
                    handler.handleRequest(request, channel, client);
                } else {
                    channel.sendResponse(new BytesRestResponse(RestStatus.UNAUTHORIZED, "Unauthorized"));
                }
            };
        }
    }
}
