/** Where the Anatomy view stands: one panel a model of the library, and the read-only editor of .onnx files. */
import { basename, dirname } from 'node:path';
import * as vscode from 'vscode';
import { ANATOMY_PANEL } from '../commands/ids';
import type { EngineService } from '../models/engineService';
import type { LibraryModel, ModelLibrary } from '../models/library';
import { LensError } from '../protocol/errors';
import type { AnatomyMethods, AnatomyState } from '../protocol/view';
import { AnatomyController, type AnatomySubject } from './anatomyController';
import { tabIcon, webviewOptions } from './html';
import { ViewHost, type ViewHostOptions } from './viewHost';

export class AnatomyPanels implements vscode.CustomReadonlyEditorProvider, vscode.Disposable {
  private readonly shown = new Map<vscode.WebviewPanel, AnatomyController>();
  private readonly panels = new Map<string, vscode.WebviewPanel>();

  constructor(
    private readonly engine: EngineService,
    private readonly library: ModelLibrary,
    private readonly options: Pick<ViewHostOptions, 'extensionUri' | 'onError'>,
  ) {}

  /** Those that are open, in the order in which they were opened. */
  get controllers(): AnatomyController[] {
    return [...this.shown.values()];
  }

  show({ ref }: LibraryModel): void {
    const known = this.panels.get(ref.id);
    if (known !== undefined) {
      known.reveal();
      return;
    }
    const { extensionUri } = this.options;
    const title = vscode.l10n.t('Anatomy of {0}', ref.id);
    const panel = vscode.window.createWebviewPanel(
      ANATOMY_PANEL,
      title,
      vscode.ViewColumn.Active,
      webviewOptions(extensionUri),
    );
    panel.iconPath = tabIcon(extensionUri);
    this.panels.set(ref.id, panel);
    panel.onDidDispose(() => this.panels.delete(ref.id));
    this.adopt(panel, {
      name: ref.id,
      ref: () => this.library.require(ref.id).ref,
      state: () => this.library.get(ref.id)?.state ?? 'not-loaded',
    });
  }

  openCustomDocument(uri: vscode.Uri): vscode.CustomDocument {
    return { uri, dispose: () => undefined };
  }

  resolveCustomEditor({ uri }: vscode.CustomDocument, panel: vscode.WebviewPanel): void {
    this.adopt(panel, {
      name: vscode.workspace.asRelativePath(uri),
      ref: () => {
        if (uri.scheme !== 'file')
          throw new LensError(
            'model-not-found',
            'Models are read from folders on this machine.',
            'Copy the file here first, with the weights beside it.',
          );
        // An id of its own: what happens to this file says nothing of a model in the library.
        return { id: uri.fsPath, folder: dirname(uri.fsPath), file: basename(uri.fsPath) };
      },
      // Of a file nothing is ever loaded, so there is nothing to say.
      state: () => 'ready',
    });
  }

  dispose(): void {
    for (const panel of [...this.shown.keys()]) panel.dispose();
  }

  private adopt(panel: vscode.WebviewPanel, subject: AnatomySubject): void {
    const controller = new AnatomyController(this.engine, subject);
    const host = new ViewHost<AnatomyState, AnatomyMethods>(controller, {
      name: 'anatomy',
      title: subject.name,
      ...this.options,
    });
    this.shown.set(panel, controller);
    panel.onDidDispose(() => {
      this.shown.delete(panel);
      host.dispose();
      controller.dispose();
    });
    host.adopt(panel);
    void controller.refresh();
  }
}
