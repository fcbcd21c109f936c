import azkaban.jobExecutor.ProcessJob;
import azkaban.utils.DirectoryFlowLoader;
import azkaban.utils.Props;
import azkaban.utils.PropsUtils;
import java.io.File;
import org.apache.log4j.BasicConfigurator;
import org.apache.log4j.Level;
import org.apache.log4j.Logger;

/** Loads the project in a directory as Azkaban does, and runs its job train: java Azkaban DIR YEAR MONTH DAY. */
public class Azkaban {
    public static void main(String[] args) throws Exception {
        BasicConfigurator.configure();
        Logger.getRootLogger().setLevel(Level.INFO);
        Logger log = Logger.getLogger("azkaban");
        DirectoryFlowLoader loader = new DirectoryFlowLoader(log);
        loader.loadProjectFlow(new File(args[0]));
        if (!loader.getErrors().isEmpty()) {
            throw new IllegalStateException(loader.getErrors().toString());
        }
        System.out.println("flows: " + loader.getFlowMap().keySet());
        Props flow = new Props();
        flow.put("azkaban.flow.start.year", args[1]);
        flow.put("azkaban.flow.start.month", args[2]);
        flow.put("azkaban.flow.start.day", args[3]);
        Props job = PropsUtils.resolveProps(new Props(flow, loader.getJobProps().get("train")));
        job.put("working.dir", args[0]);
        ProcessJob process = new ProcessJob("train", new Props(), job, log);
        try {
            process.run();
            System.out.println("train succeeded");
        } catch (Exception e) {
            System.out.println("train failed: " + e.getCause() + " " + e.getMessage());
            System.exit(1);
        }
        System.exit(0);
    }
}
