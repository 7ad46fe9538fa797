/** How the pages of a view look: their controls, read-outs and tables. */
import { css } from 'lit';
import { tableStyles } from './tableStyles';

export const pageStyles = css`
  ${tableStyles}
  :host {
    display: block;
  }
  .controls {
    column-gap: 12px;
    row-gap: 4px;
    margin: 4px 0;
    color: var(--vscode-descriptionForeground);
  }
  .controls label {
    display: inline-flex;
    align-items: center;
    gap: 4px;
    min-width: 0;
    white-space: nowrap;
  }
  input[type='checkbox'] {
    width: 14px;
    height: 14px;
    margin: 0;
    accent-color: var(--vscode-focusBorder);
  }
  input[type='range'] {
    width: 84px;
    padding: 0;
    accent-color: var(--vscode-focusBorder);
  }
  .legend {
    display: flex;
    flex-wrap: wrap;
    gap: 0 12px;
  }
  /* Always there, so that nothing moves when it has something to say. */
  .readout {
    min-height: 20px;
    font-variant-numeric: tabular-nums;
    overflow-wrap: anywhere;
  }
  .readout strong {
    font-size: 1.15em;
    font-weight: 600;
  }
  .switch {
    display: inline-flex;
  }
  .switch button {
    height: 22px;
    padding: 0 8px;
    border: 1px solid var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border)));
    border-radius: 0;
  }
  .switch button:first-child {
    border-radius: 3px 0 0 3px;
  }
  .switch button:last-child {
    border-radius: 0 3px 3px 0;
  }
  .switch button + button {
    margin-left: -1px;
  }
  [aria-pressed='true'] {
    color: var(--vscode-inputOption-activeForeground);
    background: var(--vscode-inputOption-activeBackground);
    border-color: var(--vscode-inputOption-activeBorder, var(--vscode-focusBorder)) !important;
    z-index: 1;
    /* In high contrast the background says nothing. */
    box-shadow: inset 0 -2px var(--vscode-contrastActiveBorder, transparent);
  }
  :is(th, td):last-child {
    padding-right: 2px;
  }
  thead th {
    position: sticky;
    z-index: 1;
    top: 0;
    background: var(--vscode-sideBar-background, var(--vscode-editor-background));
    box-shadow: inset 0 -1px var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border)));
  }
  th button {
    padding: 0;
    font-size: 11px;
    color: inherit;
  }
  tbody tr:hover td {
    background: var(--vscode-list-hoverBackground);
  }
  td button[aria-pressed='true'] {
    color: inherit;
    background: none;
    border-color: transparent !important;
  }
  @media (max-width: 360px) {
    th,
    td {
      padding-right: 6px;
    }
  }
  tr.chosen td {
    background: var(--vscode-list-inactiveSelectionBackground);
    color: var(--vscode-list-inactiveSelectionForeground, inherit);
  }
  .token {
    max-width: 130px;
    overflow: hidden;
    text-overflow: ellipsis;
    white-space: nowrap;
    font-family: var(--vscode-editor-font-family);
    unicode-bidi: isolate;
  }
  summary {
    cursor: pointer;
    color: var(--vscode-descriptionForeground);
  }
  details {
    margin-top: 8px;
  }
  .warning {
    color: var(--vscode-editorWarning-foreground);
  }
  .spread {
    justify-content: space-between;
  }
`;
