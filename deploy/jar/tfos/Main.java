package tfos;

import java.io.IOException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * Runs the tfos command that this jar carries, for {@code yarn jar tfos.jar ARGUMENT...} and for Oozie's java action. The command gets
 * the arguments, the standard streams, the directory and the environment of this JVM, and the JVM ends with its exit code.
 *
 * <p>The command ends with the JVM. A signal that ends the JVM reaches it as SIGTERM, and so does SIGKILL of the JVM: the command asks the
 * kernel for that, because TFOS_PARENT names the JVM. What becomes of the job is up to the command: it goes on, unless --kill-on-exit.
 */
public final class Main {
    /** Exit code of a JVM that cannot run the command: tfos' own for infrastructure that failed. */
    private static final int INFRASTRUCTURE = 4;

    private Main() {}

    public static void main(String[] args) throws InterruptedException {
        int code;
        try {
            code = run(args);
        } catch (IOException e) {
            System.err.println("tfos.jar: " + e.getMessage());
            code = INFRASTRUCTURE;
        }
        if (code != 0) {
            System.exit(code);
        }
    }

    private static int run(String[] args) throws IOException, InterruptedException {
        Process command = start(args);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> endWith(command), "tfos"));
        // This thread stays: the kernel takes the end of the thread that started a process for its parent's end.
        return command.waitFor();
    }

    /** Starts the command from the first place that it can be unpacked to and run from. */
    private static Process start(String[] args) throws IOException {
        Carried carried = Carried.inThisJar();
        StringBuilder tried = new StringBuilder();
        for (Path place : Places.inOrder()) {
            try {
                List<String> line = new ArrayList<>();
                line.add(carried.unpack(place).resolve("tfos").toString());
                line.addAll(Arrays.asList(args));
                ProcessBuilder command = new ProcessBuilder(line).inheritIO();
                environment(command.environment());
                return command.start();
            } catch (IOException e) { // a full or read-only disk, another user's directory; a filesystem that is mounted noexec
                tried.append("\n  ").append(place).append(": ").append(Places.reason(e));
            }
        }
        throw new IOException("the tfos command can be run from none of these directories:" + tried
                + "\n  set TFOS_JAR_DIR to a directory of yours on a disk that is not mounted noexec, with " + carried.mebibytes() + " MiB of room");
    }

    /** Adds what the JVM knows and its environment does not say. */
    private static void environment(Map<String, String> env) throws IOException {
        env.put("TFOS_PARENT", Files.readSymbolicLink(Paths.get("/proc/self")).toString());
        if (!env.containsKey("HADOOP_CONF_DIR") && !env.containsKey("YARN_CONF_DIR")) {
            URL site = Thread.currentThread().getContextClassLoader().getResource("yarn-site.xml");
            if (site != null && site.getProtocol().equals("file")) {
                env.put("HADOOP_CONF_DIR", Paths.get(site.getPath()).getParent().toString());
            }
        }
        Oozie.environment(env);
    }

    /** Ends the command if it still runs, and this JVM with the command's exit code. */
    private static void endWith(Process command) {
        if (!command.isAlive()) {
            return; // the JVM ends because the command has
        }
        command.destroy();
        try {
            int code = command.waitFor();
            // RunJar removes what it has unpacked in a hook of Hadoop's, beside this one: halt would leave that on the disk.
            for (Thread t : Thread.getAllStackTraces().keySet()) {
                if (t.getClass().getName().startsWith("org.apache.hadoop.util.ShutdownHookManager")) {
                    t.join(10_000);
                }
            }
            Runtime.getRuntime().halt(code);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt(); // the JVM ends with the signal's code
        }
    }
}
