/** An engine in this process for the tests of a suite. */
import { Engine } from '../../extension/engine/engine';

/** To be called inside `describe`: it is disposed of after the last test there. */
export function suiteEngine(): Engine {
  const engine = new Engine(
    () => undefined,
    () => undefined,
  );
  after(() => engine.dispose());
  return engine;
}
