import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletionService;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;

import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.AbstractFileSystem;
import org.apache.hadoop.fs.DelegateToFileSystem;
import org.apache.hadoop.fs.FileContext;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.metrics2.lib.DefaultMetricsSystem;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.hadoop.service.Service;
import org.apache.hadoop.util.JvmPauseMonitor;
import org.apache.hadoop.yarn.api.records.ContainerId;
import org.apache.hadoop.yarn.api.records.URL;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.event.Dispatcher;
import org.apache.hadoop.yarn.exceptions.ConfigurationException;
import org.apache.hadoop.yarn.exceptions.YarnException;
import org.apache.hadoop.yarn.factory.providers.RecordFactoryProvider;
import org.apache.hadoop.yarn.server.api.ResourceTracker;
import org.apache.hadoop.yarn.server.nodemanager.ContainerExecutor;
import org.apache.hadoop.yarn.server.nodemanager.Context;
import org.apache.hadoop.yarn.server.nodemanager.DefaultContainerExecutor;
import org.apache.hadoop.yarn.server.nodemanager.LocalDirsHandlerService;
import org.apache.hadoop.yarn.server.nodemanager.NodeManager;
import org.apache.hadoop.yarn.server.nodemanager.NodeStatusUpdater;
import org.apache.hadoop.yarn.server.nodemanager.NodeStatusUpdaterImpl;
import org.apache.hadoop.yarn.server.nodemanager.ResourceView;
import org.apache.hadoop.yarn.server.nodemanager.api.LocalizationProtocol;
import org.apache.hadoop.yarn.server.nodemanager.api.ResourceLocalizationSpec;
import org.apache.hadoop.yarn.server.nodemanager.api.protocolrecords.LocalResourceStatus;
import org.apache.hadoop.yarn.server.nodemanager.api.protocolrecords.LocalizerAction;
import org.apache.hadoop.yarn.server.nodemanager.api.protocolrecords.LocalizerHeartbeatResponse;
import org.apache.hadoop.yarn.server.nodemanager.api.protocolrecords.LocalizerStatus;
import org.apache.hadoop.yarn.server.nodemanager.api.protocolrecords.ResourceStatusType;
import org.apache.hadoop.yarn.server.nodemanager.containermanager.container.Container;
import org.apache.hadoop.yarn.server.nodemanager.containermanager.localizer.ContainerLocalizer;
import org.apache.hadoop.yarn.server.nodemanager.executor.ContainerLivenessContext;
import org.apache.hadoop.yarn.server.nodemanager.executor.ContainerSignalContext;
import org.apache.hadoop.yarn.server.nodemanager.executor.ContainerStartContext;
import org.apache.hadoop.yarn.server.nodemanager.executor.LocalizerStartContext;
import org.apache.hadoop.yarn.server.nodemanager.health.NodeHealthCheckerService;
import org.apache.hadoop.yarn.server.nodemanager.webapp.WebServer;
import org.apache.hadoop.yarn.server.security.ApplicationACLsManager;

/**
 * Hundreds of real NodeManagers in one JVM. A container of an application master runs as anywhere. Every other
 * container is a connection to whoever listens at {@code hollow.containers} (127.0.0.1:port), who plays what runs in
 * it: nothing is localized and no process is started.
 *
 * <p>A connection says first what was launched: the container's id, the number of its variables, and each name and
 * value, as {@link DataOutputStream#writeUTF} writes them; then the length of its credentials file, and that. The other
 * side says a number in the end: the exit code, or LOST to have the node vanish from the ResourceManager without a
 * word. A connection that ends without a number is a container that was killed; and the NodeManager kills a container
 * by ending its connection.
 */
public final class HollowNodeManagers {
    private static final int LOST = -1;
    private static final int KILLED = 137;

    /** The local filesystem. Hadoop's own starts chmod for each file and directory if it has no native library. */
    static final class Raw extends RawLocalFileSystem {
        @Override
        public void setPermission(org.apache.hadoop.fs.Path p, FsPermission permission) throws IOException {
            String symbols = permission.getUserAction().SYMBOL + permission.getGroupAction().SYMBOL + permission.getOtherAction().SYMBOL;
            Files.setPosixFilePermissions(pathToFile(p).toPath(), PosixFilePermissions.fromString(symbols));
        }
    }

    /** The same for those who use FileContext. */
    public static final class Local extends DelegateToFileSystem {
        public Local(URI uri, Configuration conf) throws IOException, URISyntaxException {
            super(uri, new Raw(), conf, "file", false);
        }

        @Override
        public int getUriDefaultPort() {
            return -1;
        }
    }

    /** The same for those who use FileSystem. */
    public static final class LocalFiles extends LocalFileSystem {
        public LocalFiles() {
            super(new Raw());
        }
    }

    /** A NodeManager without web pages, which can vanish. */
    static final class Hollow extends NodeManager {
        private final CountDownLatch lost = new CountDownLatch(1);
        private final Map<String, Socket> live = new ConcurrentHashMap<>();

        /** Whether a container is an application master's: its environment says no task's incarnation. */
        private boolean isMaster(String id) {
            Container c = getNMContext().getContainers().get(ContainerId.fromString(id));
            return c != null && !c.getLaunchContext().getEnvironment().containsKey("TFOS_INCARNATION");
        }

        @Override
        protected void addService(Service service) {
            if (!(service instanceof JvmPauseMonitor)) { // one for each node would look at the JVM twice a second
                super.addService(service);
            }
        }

        @Override
        protected ContainerExecutor createContainerExecutor(Configuration conf) {
            ContainerExecutor executor = new Executor(this);
            executor.setConf(conf);
            return executor;
        }

        @Override
        protected WebServer createWebServer(Context c, ResourceView r, ApplicationACLsManager a, LocalDirsHandlerService d) {
            return new WebServer(c, r, a, d) {
                @Override
                protected void serviceStart() {
                }

                @Override
                protected void serviceStop() {
                }

                @Override
                public int getPort() {
                    return 1;
                }
            };
        }

        @Override
        protected NodeStatusUpdater createNodeStatusUpdater(Context c, Dispatcher d, NodeHealthCheckerService h) {
            return new NodeStatusUpdaterImpl(c, d, h, metrics) {
                @Override
                protected ResourceTracker getRMClient() throws IOException {
                    ResourceTracker real = super.getRMClient();
                    return (ResourceTracker) Proxy.newProxyInstance(getClass().getClassLoader(),
                            new Class<?>[] {ResourceTracker.class}, (self, method, args) -> {
                                while (lost.getCount() == 0) {
                                    Thread.currentThread().join(); // a node that is gone says nothing more
                                }
                                try {
                                    return method.invoke(real, args);
                                } catch (InvocationTargetException e) {
                                    throw e.getCause();
                                }
                            });
                }
            };
        }

        @Override
        public void shutDown(int code) { // which would end the JVM
            System.err.println("NodeManager " + getNMContext().getNodeId() + " is told to shut down");
        }

        private void vanish() {
            lost.countDown();
            live.values().forEach(HollowNodeManagers::close);
        }
    }

    private static void close(Socket s) {
        try {
            s.close();
        } catch (IOException e) {
            System.err.println("close " + s + ": " + e);
        }
    }

    /** Starts masters as anywhere, and connections for other containers. */
    static final class Executor extends DefaultContainerExecutor {
        // A thousand at once would leave no processor for NodeManagers to answer.
        private static final Semaphore LOCALIZERS = new Semaphore(4);
        private final Hollow node;

        Executor(Hollow node) {
            this.node = node;
        }

        @Override
        protected ContainerLocalizer createContainerLocalizer(String user, String app, String container, String tokens,
                List<String> dirs, FileContext files) throws IOException {
            if (node.isMaster(container)) {
                return super.createContainerLocalizer(user, app, container, tokens, dirs, files);
            }
            return new Localizer(user, app, container, tokens, dirs, files);
        }

        @Override
        public void startLocalizer(LocalizerStartContext ctx) throws IOException, InterruptedException {
            LOCALIZERS.acquire();
            try {
                super.startLocalizer(ctx);
            } finally {
                LOCALIZERS.release();
            }
        }

        @Override
        public int launchContainer(ContainerStartContext ctx) throws IOException, ConfigurationException {
            String id = ctx.getContainer().getContainerId().toString();
            if (node.isMaster(id)) {
                return super.launchContainer(ctx);
            }
            // NodeManagers want a process's number of each container.
            Path pid = Paths.get(getPidFilePath(ctx.getContainer().getContainerId()).toUri().getPath());
            Files.createDirectories(pid.getParent());
            Files.writeString(pid, Integer.toString(Integer.MAX_VALUE));
            try (Socket s = new Socket()) {
                node.live.put(id, s);
                String[] address = System.getProperty("hollow.containers").split(":");
                s.connect(new InetSocketAddress(address[0], Integer.parseInt(address[1])));
                DataOutputStream out = new DataOutputStream(s.getOutputStream());
                tell(new DataOutputStream(new java.io.BufferedOutputStream(out)), id, ctx);
                int code = new DataInputStream(s.getInputStream()).readInt();
                if (code != LOST) {
                    return code;
                }
                node.vanish();
            } catch (IOException e) { // it was killed, or whoever plays it is gone
                System.err.println(id + ": " + e);
            } finally {
                node.live.remove(id);
            }
            return KILLED;
        }

        private void tell(DataOutputStream out, String id, ContainerStartContext ctx) throws IOException {
            Map<String, String> env = ctx.getContainer().getLaunchContext().getEnvironment();
            out.writeUTF(id);
            out.writeInt(env.size() + 1);
            out.writeUTF("NM_HOST");
            out.writeUTF(node.getNMContext().getNodeId().getHost());
            for (Map.Entry<String, String> e : env.entrySet()) {
                out.writeUTF(e.getKey());
                out.writeUTF(e.getValue());
            }
            byte[] tokens = Files.readAllBytes(Paths.get(ctx.getNmPrivateTokensPath().toUri().getPath()));
            out.writeInt(tokens.length);
            out.write(tokens);
            out.flush();
        }

        @Override
        public boolean signalContainer(ContainerSignalContext ctx) throws IOException {
            String id = ctx.getContainer().getContainerId().toString();
            if (node.isMaster(id)) {
                return super.signalContainer(ctx);
            }
            Socket s = node.live.get(id);
            if (s != null) {
                close(s);
            }
            return true;
        }

        @Override
        public boolean isContainerAlive(ContainerLivenessContext ctx) throws IOException {
            String id = ctx.getContainer().getContainerId().toString();
            return node.isMaster(id) ? super.isContainerAlive(ctx) : node.live.containsKey(id);
        }
    }

    /**
     * Says of every resource that it is there. Of a large one it makes an empty file. Small ones it copies: a master that
     * comes to the node later finds them in the cache of its user.
     */
    static final class Localizer extends ContainerLocalizer {
        private static final Configuration CONF = new YarnConfiguration();
        private static final long SMALL = 1 << 20; // bytes
        private final String container;

        Localizer(String user, String app, String container, String tokens, List<String> dirs, FileContext files) throws IOException {
            super(files, user, app, container, tokens, paths(dirs), RecordFactoryProvider.getRecordFactory(null));
            this.container = container;
        }

        private static List<org.apache.hadoop.fs.Path> paths(List<String> dirs) {
            List<org.apache.hadoop.fs.Path> all = new ArrayList<>();
            dirs.forEach(d -> all.add(new org.apache.hadoop.fs.Path(d)));
            return all;
        }

        @Override
        protected void localizeFiles(LocalizationProtocol nm, CompletionService<org.apache.hadoop.fs.Path> downloads,
                UserGroupInformation user) throws IOException, YarnException {
            List<LocalResourceStatus> done = Collections.emptyList();
            for (;;) {
                LocalizerStatus status = record(LocalizerStatus.class);
                status.setLocalizerId(container);
                status.addAllResources(done);
                LocalizerHeartbeatResponse answer = nm.heartbeat(status);
                if (answer.getLocalizerAction() == LocalizerAction.DIE) {
                    return;
                }
                done = new ArrayList<>();
                for (ResourceLocalizationSpec spec : answer.getResourceSpecs()) {
                    done.add(place(spec));
                }
            }
        }

        private static LocalResourceStatus place(ResourceLocalizationSpec spec) throws IOException {
            Path dir = Paths.get(spec.getDestinationDirectory().getFile());
            Path file = Files.createDirectories(dir).resolve(Paths.get(spec.getResource().getResource().getFile()).getFileName());
            if (spec.getResource().getSize() < SMALL) {
                copy(spec.getResource().getResource(), file);
            } else if (!Files.exists(file)) {
                Files.createFile(file);
            }
            LocalResourceStatus status = record(LocalResourceStatus.class);
            status.setResource(spec.getResource());
            status.setStatus(ResourceStatusType.FETCH_SUCCESS);
            status.setLocalPath(URL.fromPath(new org.apache.hadoop.fs.Path(file.toUri())));
            return status;
        }

        private static void copy(URL from, Path to) throws IOException {
            try {
                org.apache.hadoop.fs.Path source = from.toPath();
                try (InputStream in = source.getFileSystem(CONF).open(source)) { // as this JVM's user: one client for all
                    Files.copy(in, to, StandardCopyOption.REPLACE_EXISTING);
                }
            } catch (URISyntaxException e) {
                throw new IOException("copy " + from, e);
            }
        }

        private static <T> T record(Class<T> type) {
            return RecordFactoryProvider.getRecordFactory(null).newRecordInstance(type);
        }
    }

    /** Has each Configuration of this JVM name our local filesystem, in a file that it puts into the directory. */
    private static void haveLocalFiles(Path dir) throws IOException {
        String site = "hollow-site.xml";
        Configuration conf = new Configuration(false);
        conf.setClass("fs.AbstractFileSystem.file.impl", Local.class, AbstractFileSystem.class);
        conf.setClass("fs.file.impl", LocalFiles.class, FileSystem.class);
        try (OutputStream out = Files.newOutputStream(dir.resolve(site))) {
            conf.writeXml(out);
        }
        // The classes of this file are known to its own loader alone. Threads inherit theirs.
        Thread.currentThread().setContextClassLoader(
                new URLClassLoader(new java.net.URL[] {dir.toUri().toURL()}, HollowNodeManagers.class.getClassLoader()));
        Configuration.addDefaultResource(site);
    }

    /** {@code HollowNodeManagers DIR HOST...}: a NodeManager on each of these addresses. */
    public static void main(String[] args) throws Exception {
        DefaultMetricsSystem.setMiniClusterMode(true); // many of one name
        haveLocalFiles(Files.createDirectories(Paths.get(args[0])));
        ExecutorService pool = Executors.newFixedThreadPool(8);
        List<Future<?>> starts = new ArrayList<>();
        for (int i = 1; i < args.length; i++) {
            Configuration conf = new YarnConfiguration();
            conf.set("nm.host", args[i]);
            conf.set("nm.dir", args[0] + "/" + args[i]);
            conf.setBoolean(YarnConfiguration.NM_RECOVERY_ENABLED, false);
            conf.setBoolean(YarnConfiguration.LOG_AGGREGATION_ENABLED, false);
            conf.setBoolean(YarnConfiguration.NM_PMEM_CHECK_ENABLED, false);
            conf.setBoolean("yarn.nodemanager.container-monitor.enabled", false);
            conf.setInt(YarnConfiguration.NM_RESOURCE_MON_INTERVAL_MS, -1); // each would read all of /proc
            for (String service : List.of("container-manager", "localizer.fetch", "localizer.client", "delete", "collector-service")) {
                conf.setInt("yarn.nodemanager." + service + ".thread-count", 1); // else some fifty for each node
            }
            starts.add(pool.submit(() -> {
                NodeManager nm = new Hollow();
                nm.init(conf);
                nm.start();
                return null;
            }));
        }
        for (Future<?> f : starts) {
            f.get();
        }
        pool.shutdown();
        System.err.printf("%d NodeManagers, %d threads%n", starts.size(), Thread.activeCount());
        Thread.currentThread().join();
    }
}
