import { css } from 'lit';

/** Tables of numbers: the first column is a name. */
export const tableStyles = css`
  .table {
    max-width: 100%;
    max-height: 70vh;
    overflow: auto;
  }
  table {
    width: 100%;
    border-collapse: collapse;
    font-variant-numeric: tabular-nums;
  }
  th,
  td {
    height: 22px;
    padding: 0 8px 0 0;
    text-align: right;
    white-space: nowrap;
  }
  :is(th, td):first-child {
    text-align: left;
  }
  th {
    font-size: 11px;
    font-weight: 400;
    color: var(--vscode-descriptionForeground);
  }
`;
