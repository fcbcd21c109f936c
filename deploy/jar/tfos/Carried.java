package tfos;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.GZIPInputStream;

/** The binaries that a jar carries, and the one directory for each set of them that they are unpacked to, named by their hash. */
final class Carried {
    /** How long a set of binaries that nobody has run stays on the disk. */
    private static final Duration KEPT = Duration.ofDays(30);

    private static final class Binary {
        final String sha256;
        final long size;
        final String name;

        Binary(String[] fields) {
            sha256 = fields[0];
            size = Long.parseLong(fields[1]);
            name = fields[2];
        }
    }

    private final String hash;
    private final List<Binary> binaries = new ArrayList<>();

    private Carried(String hash) {
        this.hash = hash;
    }

    /** Reads client/CONTENTS: the machine that the binaries are for, a hash of all, then a line "sha256 size name" for each. */
    static Carried inThisJar() throws IOException {
        try (BufferedReader r = new BufferedReader(new InputStreamReader(open("client/CONTENTS"), StandardCharsets.UTF_8))) {
            String machine = r.readLine();
            String here = System.getProperty("os.name").toLowerCase() + "-" + System.getProperty("os.arch").replace("x86_64", "amd64").replace("aarch64", "arm64");
            if (!here.equals(machine)) {
                throw new IOException("it carries the tfos command for " + machine + ", and this machine is " + here);
            }
            Carried c = new Carried(r.readLine());
            for (String line; (line = r.readLine()) != null; ) {
                c.binaries.add(new Binary(line.split(" ")));
            }
            return c;
        }
    }

    long mebibytes() {
        long sum = 0;
        for (Binary b : binaries) {
            sum += b.size;
        }
        return (sum >> 20) + 1;
    }

    /** The directory below place that holds the binaries, unpacked unless they are there. */
    Path unpack(Path place) throws IOException {
        Places.claim(place);
        Path dir = place.resolve(hash);
        if (!whole(dir)) {
            Path fresh = Files.createTempDirectory(place, ".new-");
            try {
                for (Binary b : binaries) {
                    write(b, fresh.resolve(b.name));
                }
                install(fresh, dir);
            } finally {
                remove(fresh);
            }
        }
        Files.setLastModifiedTime(dir, FileTime.from(Instant.now()));
        sweep(place);
        return dir;
    }

    /** Whether all binaries lie in a directory: cleaners of temporary directories take single files away. */
    private boolean whole(Path dir) throws IOException {
        for (Binary b : binaries) {
            Path file = dir.resolve(b.name);
            if (!Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS) || Files.size(file) != b.size) {
                return false;
            }
        }
        return true;
    }

    private static void write(Binary b, Path file) throws IOException {
        MessageDigest sha256;
        try {
            sha256 = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e); // every Java has it
        }
        try (InputStream in = new DigestInputStream(new GZIPInputStream(open("client/" + b.name + ".gz")), sha256);
                OutputStream out = Files.newOutputStream(file)) {
            byte[] buffer = new byte[1 << 16];
            for (int n; (n = in.read(buffer)) >= 0; ) {
                out.write(buffer, 0, n);
            }
        }
        StringBuilder sum = new StringBuilder();
        for (byte x : sha256.digest()) {
            sum.append(String.format("%02x", x));
        }
        if (!sum.toString().equals(b.sha256)) {
            throw new IOException("the jar is damaged: " + b.name + " has the hash " + sum);
        }
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwx------"));
    }

    /** Moves a directory to its name, in one step. Another JVM may do the same now. */
    private void install(Path fresh, Path dir) throws IOException {
        for (int attempt = 0; ; attempt++) {
            try {
                Files.move(fresh, dir, StandardCopyOption.ATOMIC_MOVE);
                return;
            } catch (FileSystemException e) {
                if (whole(dir)) {
                    return;
                }
                if (attempt == 3) {
                    throw e;
                }
                remove(dir); // it has lost files
            }
        }
    }

    /** Removes sets that nobody has run for long. What cannot be removed is left. */
    private static void sweep(Path place) {
        try (DirectoryStream<Path> all = Files.newDirectoryStream(place)) {
            for (Path dir : all) {
                if (dir.getFileName().toString().matches("[0-9a-f]{64}|\\.new-.*") 
                        && Files.getLastModifiedTime(dir).toInstant().isBefore(Instant.now().minus(KEPT))) {
                    remove(dir);
                }
            }
        } catch (IOException e) {
            // another JVM sweeps too
        }
    }

    private static void remove(Path dir) throws IOException {
        try (DirectoryStream<Path> files = Files.newDirectoryStream(dir)) {
            for (Path file : files) {
                Files.deleteIfExists(file);
            }
        } catch (NoSuchFileException e) {
            return;
        }
        Files.deleteIfExists(dir);
    }

    private static InputStream open(String name) throws IOException {
        InputStream in = Carried.class.getResourceAsStream("/" + name);
        if (in == null) {
            throw new IOException("it holds no " + name + ": make jar builds one that does");
        }
        return in;
    }
}
