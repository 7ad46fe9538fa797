/** What all parts share: VS Code's own rhythm (22 px rows, 14 px side padding) and only theme variables. */
import { css } from 'lit';

export const base = css`
  :host {
    color: var(--vscode-foreground);
    font: var(--vscode-font-weight) var(--vscode-font-size) / 1.4 var(--vscode-font-family);
  }
  * {
    box-sizing: border-box;
  }
  h2 {
    display: flex;
    flex-wrap: wrap;
    align-items: baseline;
    gap: 0 6px;
    margin: 14px 0 2px;
    font-size: 11px;
    font-weight: 600;
    letter-spacing: 0.04em;
    text-transform: uppercase;
    color: var(--vscode-sideBarSectionHeader-foreground, var(--vscode-foreground));
  }
  h2 .title {
    flex: none;
  }
  h2 .what {
    font-weight: 400;
    letter-spacing: 0;
    text-transform: none;
    color: var(--vscode-descriptionForeground);
    overflow-wrap: break-word;
  }
  h2 .column {
    flex: none;
    width: 46px;
    text-align: right;
    text-transform: none;
    letter-spacing: 0;
    color: var(--vscode-descriptionForeground);
  }
  h2 .column + .column {
    margin-left: 2px; /* with the gap of a heading the 8 px of a row */
  }
  h2 .fill {
    flex: 1;
  }
  h2 .fill + .column {
    margin-left: auto; /* where a narrow heading has two lines */
  }
  .was,
  button.bordered {
    border: 1px solid var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border)));
  }
  p {
    margin: 4px 0;
    overflow-wrap: anywhere;
  }
  .quiet {
    color: var(--vscode-descriptionForeground);
  }
  .mono {
    font-family: var(--vscode-editor-font-family);
  }
  .number {
    font-variant-numeric: tabular-nums;
  }
  button {
    font: inherit;
    color: inherit;
    background: none;
    border: 1px solid transparent;
    border-radius: 3px;
    padding: 0 4px;
    cursor: pointer;
  }
  button:hover:enabled {
    background: var(--vscode-toolbar-hoverBackground);
  }
  /* What is only off for now keeps the focus: aria-disabled instead of disabled. */
  .off,
  button:disabled {
    opacity: 0.4;
    cursor: default;
  }
  button.link {
    padding: 0;
    border: 0;
    color: var(--vscode-textLink-foreground);
    text-align: left;
  }
  button.link:hover {
    text-decoration: underline;
    background: none;
  }
  button.quiet {
    color: var(--vscode-descriptionForeground);
  }
  .stale {
    opacity: 0.6;
    transition: opacity 0s 150ms; /* a quick answer replaces the old one without a flicker */
  }
  select,
  input {
    height: 22px;
    font: inherit;
    color: var(--vscode-input-foreground);
    background: var(--vscode-input-background);
    border: 1px solid var(--vscode-contrastBorder, var(--vscode-input-border, var(--vscode-widget-border, transparent)));
    border-radius: 2px;
  }
  select {
    min-width: 0;
    max-width: 100%;
    color: var(--vscode-dropdown-foreground);
    background: var(--vscode-dropdown-background);
    border-color: var(--vscode-contrastBorder, var(--vscode-dropdown-border, var(--vscode-widget-border, transparent)));
  }
  vscode-text-field {
    --input-height: 22;
    --input-min-width: 0;
  }
  vscode-text-field::part(control)::placeholder {
    color: var(--vscode-input-placeholderForeground);
  }
  vscode-checkbox {
    margin: 0;
  }
  vscode-button {
    --button-padding-horizontal: 10px;
    --button-padding-vertical: 2px;
  }
  button.bordered {
    height: 22px;
    padding: 0 8px;
  }
  :focus-visible {
    outline: 1px solid var(--vscode-focusBorder);
    outline-offset: -1px;
  }
  .row {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 6px;
  }
  .visually-hidden {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
`;
