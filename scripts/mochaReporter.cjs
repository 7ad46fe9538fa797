// What mocha's spec reporter prints, and beside it the counts as JSON in the file $ONNX_LENS_REPORT. A suite without such a
// file did not come to its end.
const { writeFileSync } = require('node:fs');
const { reporters, Runner } = require('mocha');

class Reporter extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const file = process.env.ONNX_LENS_REPORT;
    if (!file) return;
    runner.once(Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures, pending } = this.stats;
      writeFileSync(file, JSON.stringify({ passed: passes, failed: failures, skipped: pending }));
    });
  }
}

module.exports = Reporter;
