/** A result as rows and sentences. Pure. */
import type { FillMaskResult, JointFill, MaskResult, Prediction, UnchangedMask } from '../../extension/protocol/engine';
import type { BarRow } from '../common/barList';
import { counted, difference, probability, readable, signed, visible } from '../../extension/protocol/format';

/** A token as a word; one of white space only by its name in the vocabulary. */
export const word = ({ text, token }: Prediction): string => visible(text.trim() === '' ? token : text.trim());

export const predictionTitle = ({ token, id, logprob, prob }: Prediction): string =>
  `${token} (id ${id}): probability ${prob}, log-probability ${logprob}`;

export const scoreName = (kind: FillMaskResult['kind']): string =>
  kind === 'masked' ? 'pseudo-log-likelihood' : 'log-likelihood';

/** The probability that a whole bar stands for: the largest that any of the masks gives. */
export const scaleOf = (...masks: (Pick<MaskResult, 'predictions'> | undefined)[]): number =>
  Math.max(Number.MIN_VALUE, ...masks.map((mask) => mask?.predictions[0]?.prob ?? 0));

/** One model's view of one mask. */
export interface Side {
  result: FillMaskResult;
  mask: MaskResult;
  /** Which mask it is, in a few letters. */
  name: string;
}

/** A place that two models look at. Its lists share a scale. */
export interface Comparison {
  sides: Side[];
  /** Why the masks cannot be compared one by one. */
  note?: string;
}

/** Mask beside mask; where the models divide a target into different numbers of tokens, all its masks of one, then of the other. */
export function comparisons(result: FillMaskResult, other: FillMaskResult): Comparison[] {
  return result.targets.flatMap((target, at): Comparison[] => {
    const [own, others] = [result, other].map(({ masks }) => masks.filter((mask) => mask.target === at)) as [
      MaskResult[],
      MaskResult[],
    ];
    if (own.length === others.length)
      return own.map((mask, index) => {
        // The other model may count its masks otherwise; the place is the same.
        const name = result.masks.length > 1 ? `mask ${result.masks.indexOf(mask) + 1}` : 'token';
        return {
          sides: [
            { result, mask, name },
            { result: other, mask: others[index] as MaskResult, name },
          ],
        };
      });
    const sidesOf = (whose: FillMaskResult, masks: MaskResult[]): Side[] =>
      masks.map((mask, index) => ({
        result: whose,
        mask,
        name: masks.length > 1 ? `token ${index + 1} of ${masks.length}` : 'token',
      }));
    const note =
      `“${visible(target.text)}” is ${counted(own.length, 'token')} to ${result.model}, ` +
      `${counted(others.length, 'token')} to ${other.model}.`;
    return [{ sides: [...sidesOf(result, own), ...sidesOf(other, others)], note }];
  });
}

/** Numbers: p, log p. */
export const predictionRows = (mask: MaskResult, length: number, scale: number): BarRow[] =>
  mask.predictions.slice(0, length).map((prediction) => ({
    label: word(prediction),
    ...(prediction.token.startsWith('##') ? { remark: 'continues' } : {}),
    fraction: prediction.prob / scale,
    numbers: [probability(prediction.prob), signed(prediction.logprob)],
    title: predictionTitle(prediction),
    marked: prediction.id === mask.actual?.id,
  }));

/** What the pinned result said. Numbers: p there, and log p now minus log p there. */
export const pinnedRows = (before: MaskResult, now: MaskResult, length: number, scale: number): BarRow[] =>
  before.predictions.slice(0, length).map((prediction) => {
    const same = now.predictions.find(({ id }) => id === prediction.id);
    const change = same === undefined ? null : same.logprob - prediction.logprob;
    return {
      label: word(prediction),
      fraction: prediction.prob / scale,
      numbers: [probability(prediction.prob), change === null ? '–' : difference(change)],
      title: `${predictionTitle(prediction)}; ${change === null ? 'now below the words shown' : `difference ${change}`}`,
      marked: prediction.id === before.actual?.id,
    };
  });

const changeRow = (
  prediction: Prediction,
  change: number,
  scale: number,
  actual: number | undefined,
  note: string,
): BarRow => ({
  label: word(prediction),
  ...(prediction.token.startsWith('##') ? { remark: 'continues' } : {}),
  fraction: prediction.prob / scale,
  numbers: [probability(prediction.prob), difference(change)],
  title: `${predictionTitle(prediction)}; ${note}`,
  marked: prediction.id === actual,
});

/** What the changed model says. Numbers: p, and log p with the changes minus log p without them. */
export const changedRows = (mask: MaskResult, before: UnchangedMask, length: number, scale: number): BarRow[] =>
  mask.predictions.slice(0, length).map((prediction, index) => {
    const other = before.logprobs[index] ?? NaN;
    return changeRow(prediction, prediction.logprob - other, scale, mask.actual?.id, `without the changes ${other}`);
  });

/** What the unchanged model says. Numbers: its p, and log p with the changes minus log p without them. */
export const unchangedRows = (before: UnchangedMask, mask: MaskResult, length: number, scale: number): BarRow[] =>
  before.predictions.slice(0, length).map((prediction, index) => {
    const after = before.after[index] ?? NaN;
    return changeRow(prediction, after - prediction.logprob, scale, mask.actual?.id, `with the changes ${after}`);
  });

/** Number: the score. The bar is the likelihood against the best fill's. */
export const jointRows = (fills: readonly JointFill[], kind: FillMaskResult['kind']): BarRow[] =>
  fills.map((fill) => ({
    label: fill.texts.map((text) => visible(text.trim())).join(' … '),
    ...(fill.independent ? { remark: 'independent' } : {}),
    fraction: Math.exp(fill.logprob - (fills[0]?.logprob ?? 0)),
    numbers: [signed(fill.logprob)],
    title:
      `${fill.tokens.flat().join(' ')}: ${scoreName(kind)} ${fill.logprob}` +
      (fill.independent ? '; each mask’s own best token' : ''),
  }));

/** What goes into the document with one press: the best fill, one text a target; null where there is no single best one. */
export function bestTexts(result: FillMaskResult): string[] | null {
  const joint = result.joint[0];
  if (joint !== undefined) return joint.texts;
  const best = result.masks.length === 1 ? result.masks[0]?.predictions[0] : undefined;
  return best === undefined ? null : [best.text];
}

export function maskTitle(result: FillMaskResult, index: number): string {
  const best = result.masks[index]?.predictions[0];
  return `mask ${index + 1}${best === undefined ? '' : `, most likely ${word(best)}`}: take the mask away`;
}

/** For the screen reader: the result in a sentence. */
export function summary(result: FillMaskResult): string {
  return result.masks
    .map((mask, index) => {
      const words = mask.predictions
        .slice(0, 3)
        .map((prediction) => `${word(prediction)} ${probability(prediction.prob)}`)
        .join(', ');
      const was = mask.actual === null ? '' : ` It was ${readable(mask.actual.token)}, rank ${mask.actual.rank}.`;
      return `Mask ${index + 1}: ${words}.${was}`;
    })
    .join(' ');
}
