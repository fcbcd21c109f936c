package yarn

import "testing"

func TestBrief(t *testing.T) {
	for diagnostics, want := range map[string]string{
		"": "",
		"[2026-11-22 18:46:27.744]File file:/x does not exist\njava.io.FileNotFoundException: File file:/x does not exist\n\tat a.b(C.java:1)\n":                                                                                                                                                                   "File file:/x does not exist",
		"[2026-11-22 18:46:17.391]Container killed by the ApplicationMaster.\n[2026-11-22 18:46:17.402]Container killed on request. Exit code is 143\n":                                                                                                                                                            "Container killed by the ApplicationMaster.",
		"[2026-11-22 18:46:28.655]\njava.lang.reflect.UndeclaredThrowableException\n\tat a.b(C.java:1)\nCaused by: a.YarnException: Download and unpack failed\n\t... 10 more\nCaused by: java.io.IOException: tar: exit code 2.\n\tat a.b(C.java:1)\nCaused by: Download and unpack failed\na.YarnException: x\n": "tar: exit code 2.",
		"java.lang.NullPointerException\n\tat a.b(C.java:1)": "java.lang.NullPointerException",
		"Container released by application":                  "Container released by application",
	} {
		if got := Brief(diagnostics); got != want {
			t.Errorf("of %q: %q, want %q", diagnostics, got, want)
		}
	}
}

func TestWithoutFrames(t *testing.T) {
	const said = "Application application_1_7 failed 2 times due to AM Container for appattempt_1_7_000002 exited with  exitCode: -1000\n" +
		"Failing this attempt.Diagnostics: [2026-11-30 01:25:47.868]File does not exist: hdfs://nn/x\n\n" +
		"java.io.FileNotFoundException: File does not exist: hdfs://nn/x\n\tat org.apache.hadoop.fs.X.y(X.java:1757)\n\tat java.base/java.lang.Thread.run(Thread.java:840)\n" +
		"Caused by: java.io.IOException: gone\n\t... 12 more\n\nFor more detailed output, check the application tracking page: http://rm:8088/cluster/app/application_1_7 Then click on links to logs of each attempt.\n"
	const want = "Application application_1_7 failed 2 times due to AM Container for appattempt_1_7_000002 exited with  exitCode: -1000\n" +
		"Failing this attempt.Diagnostics: [2026-11-30 01:25:47.868]File does not exist: hdfs://nn/x\n" +
		"java.io.FileNotFoundException: File does not exist: hdfs://nn/x\nCaused by: java.io.IOException: gone\n" +
		"For more detailed output, check the application tracking page: http://rm:8088/cluster/app/application_1_7 Then click on links to logs of each attempt."
	if got := WithoutFrames(said); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
