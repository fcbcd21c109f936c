package tfos;

import java.io.File;
import java.io.IOException;
import java.util.Map;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.parsers.ParserConfigurationException;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;
import org.xml.sax.SAXException;

/** What Oozie tells the java action that this JVM runs, in system properties and in the action's configuration. */
final class Oozie {
    private Oozie() {}

    /** Adds to the environment of the command: whose workflow it is, and the tag by which Oozie finds what the action has started. */
    static void environment(Map<String, String> env) throws IOException {
        String user = System.getProperty("submitter.user");
        // Where names are taken on trust, the process of a container is often the NodeManager's user.
        if (user != null && !env.containsKey("HADOOP_USER_NAME")) {
            env.put("HADOOP_USER_NAME", user);
        }
        String tags = property("oozie.child.mapreduce.job.tags");
        if (tags != null && !env.containsKey("TFOS_TAGS")) {
            env.put("TFOS_TAGS", tags);
        }
    }

    /** The value of a property of the action; null: it has none, or this is no action. */
    private static String property(String name) throws IOException {
        String file = System.getProperty("oozie.action.conf.xml");
        if (file == null) {
            return null;
        }
        try {
            DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
            factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
            NodeList all = factory.newDocumentBuilder().parse(new File(file)).getElementsByTagName("property");
            for (int i = 0; i < all.getLength(); i++) {
                Element property = (Element) all.item(i);
                if (name.equals(text(property, "name"))) {
                    return text(property, "value");
                }
            }
            return null;
        } catch (ParserConfigurationException | SAXException e) {
            throw new IOException("read the action's configuration " + file + ": " + e.getMessage(), e);
        }
    }

    private static String text(Element property, String name) {
        NodeList found = property.getElementsByTagName(name);
        return found.getLength() == 0 ? null : found.item(0).getTextContent().trim();
    }
}
