/** `?theme=dark|light|hc|hclight&view=NAME&state=…` shows one state of a view; without `view`, links to all of them. */
import { setState, show, type Shown } from './fakeHost';
import '../anatomy/main';
import '../attention/main';
import '../cloze/main';
import '../embeddings/main';
import '../memories/main';
import '../objectives/main';
import '../probes/main';
import { ANATOMY_STATES } from './anatomyStates';
import { ATTENTION_STATES } from './attentionStates';
import { EMBEDDINGS_STATES } from './embeddingsStates';
import { MEMORIES_STATES } from './memoriesStates';
import { PROBES_STATES } from './probesStates';
import { CLOZE_STATES, OBJECTIVES_STATES } from './states';
import { applyTheme, THEMES } from './themes';

const VIEWS: Record<string, Record<string, unknown>> = {
  anatomy: ANATOMY_STATES,
  attention: ATTENTION_STATES,
  cloze: CLOZE_STATES,
  embeddings: EMBEDDINGS_STATES,
  memories: MEMORIES_STATES,
  objectives: OBJECTIVES_STATES,
  probes: PROBES_STATES,
};

declare global {
  interface Window {
    /** Puts another state of the attention into the open view, as an answer does; when it was put there. */
    showAttention(name: string): Promise<number>;
  }
}

/** A page that has made its answer itself is not one that waited for it: its garbage is gone by then. */
const REST_MS = 300;

window.showAttention = async (name) => {
  const made = ATTENTION_STATES[name]?.();
  if (made === undefined) throw new Error(`There is no state ${name}.`);
  await new Promise((done) => setTimeout(done, REST_MS));
  const at = performance.now();
  show(made);
  return at;
};

const query = new URLSearchParams(location.search);
const theme = query.get('theme') ?? 'dark';
const view = query.get('view') ?? '';
const states = VIEWS[view];

applyTheme(theme);
if (states !== undefined) {
  const name = query.get('state') ?? 'ready';
  // Some are made when they are looked at, since they are large.
  const made = states[name];
  if (typeof made === 'function') show((made as () => Shown)());
  else setState(made);
  document.body.append(document.createElement(`onnx-lens-${view}`));
} else
  for (const [name, all] of Object.entries(VIEWS))
    for (const state of Object.keys(all)) {
      const line = document.createElement('p');
      for (const each of Object.keys(THEMES)) {
        const link = document.createElement('a');
        link.href = `?theme=${each}&view=${name}&state=${state}`;
        link.textContent = `${name} ${state} ${each}`;
        line.append(link, ' · ');
      }
      document.body.append(line);
    }
