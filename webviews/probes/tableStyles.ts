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
  td:first-child {
    max-width: 160px;
    overflow: hidden;
    text-overflow: ellipsis;
  }
  :is(th, td):last-child {
    padding-right: 0;
  }
  th {
    font-size: 11px;
    font-weight: 400;
    color: var(--vscode-descriptionForeground);
    border-bottom: 1px solid var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border)));
  }
  th button {
    padding: 0;
  }
`;
