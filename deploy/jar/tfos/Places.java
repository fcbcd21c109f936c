package tfos;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Directories that the command may be unpacked to. */
final class Places {
    private Places() {}

    /** Where to try, in order. In a container of YARN its own directory comes first: it goes with the container. */
    static List<Path> inOrder() {
        String own = System.getenv("TFOS_JAR_DIR");
        List<Path> places = new ArrayList<>();
        if (own != null && !own.isEmpty()) {
            places.add(Paths.get(own, "tfos-jar"));
            return places;
        }
        String name = "tfos-jar-" + System.getProperty("user.name");
        Path temporary = Paths.get(System.getProperty("java.io.tmpdir")).resolve(name);
        if (System.getenv("CONTAINER_ID") != null) {
            places.add(Paths.get(System.getProperty("user.dir")).resolve(name));
        }
        String cache = System.getenv("XDG_CACHE_HOME");
        Path caches = cache != null && cache.startsWith("/") ? Paths.get(cache) : Paths.get(System.getProperty("user.home"), ".cache");
        places.add(caches.resolve("tfos").resolve("jar"));
        places.add(temporary);
        places.add(Paths.get("/var/tmp").resolve(name));
        places.add(Paths.get("/dev/shm").resolve(name));
        return places;
    }

    /** Makes a directory unless it is there, and refuses one that somebody else can write to: what lies there is executed. */
    static void claim(Path dir) throws IOException {
        if (!Files.isDirectory(dir, LinkOption.NOFOLLOW_LINKS)) {
            Files.createDirectories(dir.getParent());
            try {
                Files.createDirectory(dir, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
            } catch (FileAlreadyExistsException e) {
                // another JVM was faster, or it is no directory
            }
        }
        PosixFileAttributes is = Files.readAttributes(dir, PosixFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
        Set<PosixFilePermission> may = is.permissions();
        if (!is.isDirectory()) {
            throw new IOException("it is no directory");
        }
        if (!is.owner().equals(Files.getOwner(Paths.get("/proc/self")))) {
            throw new IOException("it belongs to " + is.owner().getName());
        }
        if (may.contains(PosixFilePermission.GROUP_WRITE) || may.contains(PosixFilePermission.OTHERS_WRITE)) {
            throw new IOException("others may write to it (chmod go-w)");
        }
    }

    /** The reason in an exception, in words. */
    static String reason(IOException e) {
        if (e instanceof AccessDeniedException) {
            return "permission denied: " + e.getMessage();
        }
        if (e instanceof NoSuchFileException) {
            return "there is no " + e.getMessage();
        }
        if (e instanceof FileSystemException && ((FileSystemException) e).getReason() != null) {
            return ((FileSystemException) e).getReason();
        }
        String text = String.valueOf(e.getMessage());
        return text.contains("error=13") || text.contains("error: 13") ? "programs cannot be run from it: it is mounted noexec, or a security policy forbids it" : text;
    }
}
