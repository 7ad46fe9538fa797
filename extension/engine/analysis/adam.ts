/** Adam (Kingma & Ba 2015): β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸, without decay of weights. */

type Numbers = Float32Array | Float64Array;

/** Running means of the gradients and of their squares, and the steps that were made. */
export interface AdamState<T extends Numbers> {
  means: T[];
  squares: T[];
  steps: number;
}

/** At the beginning. */
export const newAdam = <T extends Numbers>(parameters: readonly T[]): AdamState<T> => {
  const zeros = (): T[] => parameters.map((values) => values.slice().fill(0) as T);
  return { means: zeros(), squares: zeros(), steps: 0 };
};

/** Changes the parameters and the state in place. Gradients are taken times `scale`. */
export function adamStep<T extends Numbers>(
  parameters: readonly T[],
  gradients: readonly Numbers[],
  state: AdamState<T>,
  rate: number,
  scale = 1,
): void {
  state.steps++;
  const [first, second] = [1 - 0.9 ** state.steps, 1 - 0.999 ** state.steps];
  parameters.forEach((values, which) => {
    const gradient = gradients[which] as Numbers;
    const [mean, square] = [state.means[which] as T, state.squares[which] as T];
    for (let at = 0; at < values.length; at++) {
      const value = scale * (gradient[at] as number);
      const m = 0.9 * (mean[at] as number) + 0.1 * value;
      const v = 0.999 * (square[at] as number) + 0.001 * value * value;
      mean[at] = m;
      square[at] = v;
      values[at] = (values[at] as number) - (rate * m) / first / (Math.sqrt(v / second) + 1e-8);
    }
  });
}
