/** How much something fires at a token, as the shade behind it. */
import { css } from 'lit';

const STEPS = 5;
/** Small activations are many, and should be seen. */
const GAMMA = 0.6;

/** Of a share of the largest: 1…5, as in the class `s3`; 0: too little to be coloured. */
export const shadeOf = (share: number): number => Math.round(STEPS * Math.max(0, Math.min(1, share)) ** GAMMA);

export const shades = css`
  .token {
    border-radius: 2px;
    --shade: color-mix(in srgb, var(--vscode-charts-green) var(--part), transparent);
    background: var(--shade);
    /* In high contrast the background says nothing. */
    border-bottom: var(--line, 0) solid var(--vscode-contrastBorder, transparent);
  }
  .s1 {
    --part: 6%;
    --line: 0;
  }
  .s2 {
    --part: 12%;
    --line: 1px;
  }
  .s3 {
    --part: 18%;
    --line: 2px;
  }
  .s4 {
    --part: 24%;
    --line: 3px;
  }
  .s5 {
    --part: 30%;
    --line: 4px;
  }
`;
