/**
 * A model with heads and neurons scaled in every one of its runs. An analysis that is given it instead of the model is under these
 * changes, whatever it asks; what the analysis changes itself comes on top.
 */
import { LensError } from '../../protocol/errors';
import { changeText } from '../../protocol/format';
import type { Scale } from '../../protocol/interventions';
import type { Activation, Internals, Intervention } from '../session/internals';
import {
  checkFinite,
  requireHead,
  type InputRow,
  type LanguageModel,
  type LogitPlace,
  type LogitRows,
} from '../session/languageModel';
import { LOGITS } from './attention/changedRuns';
import { scaleInterventions } from './interventions';

type Model = LanguageModel & Internals;

/** Logits that are held at once: of all rows of a run at all places that are wanted in any of them. */
const MOST_LOGITS = 32 * 2 ** 20;

/**
 * `work` with the model changed so. A change at one token holds at that token of each row that has it. Throws `bad-input` for heads
 * and neurons that are not there, and for a token that no row had.
 */
export async function underChanges<T>(
  model: Model,
  scales: readonly Scale[] | undefined,
  work: (model: Model) => Promise<T>,
): Promise<T> {
  if (scales === undefined || scales.length === 0) return work(model);
  // What holds nowhere would be told to hold.
  const waiting = new Set(scales.filter(({ position }) => position !== undefined));
  const result = await work(changedModel(model, scales, waiting));
  const [missed] = waiting;
  if (missed === undefined) return result;
  throw new LensError(
    'bad-input',
    `There is no token ${missed.position} in this text, where ${changeText(missed)} holds.`,
    'Remove that change, or look at the text that it was made for.',
  );
}

/** Of work over texts in which the same token means nothing common. Throws `bad-input`. */
export function requireEverywhere(scales: readonly Scale[] | undefined, what: string): void {
  const placed = scales?.find(({ position }) => position !== undefined);
  if (placed === undefined) return;
  throw new LensError(
    'bad-input',
    `${changeText(placed)} holds at one token only, which means nothing for ${what}.`,
    'Remove that change, or make it hold everywhere.',
  );
}

function changedModel(model: Model, scales: readonly Scale[], waiting: Set<Scale>): Model {
  const changesFor = async (rows: readonly InputRow[]): Promise<Intervention[]> => {
    const length = Math.max(0, ...rows.map(({ ids }) => ids.length));
    const own = scales.filter(({ position }) => position === undefined || position < length);
    for (const scale of own) waiting.delete(scale);
    return scaleInterventions(await model.anatomy(), own, length);
  };
  const trace: Model['trace'] = async (rows, hooks, interventions = [], options = {}) =>
    model.trace(rows, hooks, together(await changesFor(rows), interventions), options);
  return {
    info: model.info,
    tokenizer: model.tokenizer,
    anatomy: () => model.anatomy(),
    trace,
    traceFrom: async (layer, resid, rows, hooks, interventions = [], options = {}) => {
      const own = (await changesFor(rows)).filter(({ hook }) => layerOf(hook) >= layer);
      return model.traceFrom(layer, resid, rows, hooks, together(own, interventions), options);
    },
    runBlock: async (layer, resid, rows, changes = []) => {
      const own = (await changesFor(rows)).filter(({ hook }) => layerOf(hook) === layer);
      return model.runBlock(layer, resid, rows, together(own, changes));
    },
    logitsAt: (batch, places) => logitsAt({ info: model.info, tokenizer: model.tokenizer, trace }, batch, places),
    nextSentenceLogits: async (batch, changes = []) =>
      model.nextSentenceLogits(batch, together(await changesFor(batch), changes)),
    // Behind the last block, and of the weights alone: nothing is changed there.
    weight: (name) => model.weight(name),
    headLayers: () => model.headLayers(),
    unembedding: (id) => model.unembedding(id),
    runBlockAt: async (layer, resid, rows, position) => {
      const own = (await changesFor(rows)).filter(({ hook }) => layerOf(hook) === layer);
      if (own.length === 0) return model.runBlockAt(layer, resid, rows, position);
      const { dims, data } = await model.runBlock(layer, resid, rows, own);
      const [batch, length, width] = dims as [number, number, number];
      const at = new Float32Array(batch * width);
      for (let row = 0; row < batch; row++) {
        const from = (row * length + position) * width;
        at.set(data.subarray(from, from + width), row * width);
      }
      return { dims: [batch, 1, width], data: at };
    },
    runBlockEnd: (...args) => model.runBlockEnd(...args),
    runHead: (resid) => model.runHead(resid),
    runTransform: (resid) => model.runTransform(resid),
    wordScores: (vectors) => model.wordScores(vectors),
    wordEnds: (...asked) => model.wordEnds(...asked),
  };
}

const layerOf = (hook: string): number => Number(/^blocks\.(\d+)\./u.exec(hook)?.[1]);

/** x·a, then ·b + offset. */
function together(own: readonly Intervention[], given: readonly Intervention[]): Intervention[] {
  const merged = given.map((change): Intervention => {
    const before = own.find(({ hook }) => hook === change.hook)?.scale;
    if (before === undefined) return change;
    return { ...change, scale: change.scale === undefined ? before : product(before, change.scale) };
  });
  return [...own.filter(({ hook }) => given.every((change) => change.hook !== hook)), ...merged];
}

/** Elementwise, of tensors of one rank; an axis of 1 repeats. */
export function product(a: Activation, b: Activation): Activation {
  const dims = a.dims.map((dim, axis) => Math.max(dim, b.dims[axis] as number));
  const data = new Float32Array(dims.reduce((size, dim) => size * dim, 1));
  const at = (index: number, own: readonly number[]): number => {
    let [rest, stride, place] = [index, 1, 0];
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      const [size, dim] = [dims[axis] as number, own[axis] as number];
      if (dim > 1) place += (rest % size) * stride;
      stride *= dim;
      rest = Math.floor(rest / size);
    }
    return place;
  };
  for (let index = 0; index < data.length; index++)
    data[index] = (a.data[at(index, a.dims)] as number) * (b.data[at(index, b.dims)] as number);
  return { dims, data };
}

/** The model's own head, in runs of as many rows as there is room for their logits. */
async function logitsAt(
  model: Pick<Model, 'info' | 'tokenizer' | 'trace'>,
  batch: readonly InputRow[],
  places: readonly LogitPlace[],
): Promise<LogitRows> {
  requireHead(model.info);
  const expected = model.info.vocabSize ?? model.tokenizer.vocabSize;
  let rows: Float32Array = new Float32Array(0);
  let vocabSize = expected;
  for (const members of groupsOf(places, Math.floor(MOST_LOGITS / expected))) {
    const wanted = places.filter(({ row }) => members.includes(row));
    const positions = [...new Set(wanted.map(({ position }) => position))].sort((one, other) => one - other);
    const own = members.map((row) => batch[row] as InputRow);
    const { dims, data } = (await model.trace(own, [LOGITS], [], { parts: new Map([[LOGITS, { positions }]]) })).get(
      LOGITS,
    ) as Activation;
    vocabSize = dims.at(-1) as number;
    if (rows.length === 0) rows = new Float32Array(places.length * vocabSize);
    places.forEach(({ row, position }, index) => {
      const member = members.indexOf(row);
      if (member < 0) return;
      const from = (member * positions.length + positions.indexOf(position)) * vocabSize;
      rows.set(data.subarray(from, from + vocabSize), index * vocabSize);
    });
  }
  checkFinite(rows, vocabSize, model.info.id);
  return { data: rows, vocabSize };
}

/** Rows with places, so that rows times positions of each group are no more than `most` (but for a single row). */
function groupsOf(places: readonly LogitPlace[], most: number): number[][] {
  const byRow = new Map<number, number[]>();
  for (const { row, position } of places) byRow.set(row, [...(byRow.get(row) ?? []), position]);
  const groups: number[][] = [];
  let [members, positions] = [[] as number[], new Set<number>()];
  for (const [row, own] of byRow) {
    const joined = new Set([...positions, ...own]);
    if (members.length > 0 && (members.length + 1) * joined.size > most) {
      groups.push(members);
      [members, positions] = [[row], new Set(own)];
    } else [members, positions] = [[...members, row], joined];
  }
  return members.length === 0 ? groups : [...groups, members];
}
