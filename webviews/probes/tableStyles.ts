import { css } from 'lit';
import { tableStyles } from '../common/tableStyles';

/** Tables whose names may be long. */
export const probeTableStyles = css`
  ${tableStyles}
  td:first-child {
    max-width: 160px;
    overflow: hidden;
    text-overflow: ellipsis;
  }
  :is(th, td):last-child {
    padding-right: 0;
  }
  th {
    border-bottom: 1px solid var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border)));
  }
  th button {
    padding: 0;
  }
`;
