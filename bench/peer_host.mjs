// Pyodide's host: evaluates `1+1` in a warm interpreter, for lines on standard input as peer_host.py has them. With "once" as the second
// argument it starts, evaluates, and ends: the cold start. The first argument is the folder of the package.
import { createInterface } from "node:readline";

const { loadPyodide } = await import(process.argv[2] + "/pyodide.mjs");
const python = await loadPyodide();
const run = () => {
    if (python.runPython("1+1") !== 2) throw new Error("1+1 is not 2");
};
run();
if (process.argv[3] !== "once") {
    console.log("ready");
    for await (const line of createInterface({ input: process.stdin })) {
        const [microseconds, kind] = line.split(" ");
        const end = performance.now() + microseconds / 1000;
        if (kind === "sleep") await new Promise((done) => setTimeout(done, microseconds / 1000));
        while (performance.now() < end);
        const start = performance.now();
        run();
        console.log((performance.now() - start) / 1000);
    }
}
