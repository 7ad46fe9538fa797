/** What is looked at in the Attention view as a `.lens.json` file, and back. */
import { posix } from 'node:path';
import * as vscode from 'vscode';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import type { ModelInfo, TextRange } from '../protocol/engine';
import { LensError } from '../protocol/errors';
import { count } from '../protocol/format';
import {
  readSavedAttention,
  SAVED_EXTENSION,
  SAVED_FORMAT,
  SAVED_VERSION,
  type SavedAttention,
} from '../protocol/savedAttention';
import type { AttentionController } from './attentionController';
import { Place } from './place';
import { saveAs } from './save';
import { requirePlace, type SharedSubject } from './sharedSubject';
import { Subject } from './subject';

const URI = /^[a-z][a-z0-9+.-]+:/iu;

export interface AttentionFileParts {
  engine: EngineService;
  models: ModelLibrary;
  shared: SharedSubject;
  attention: AttentionController;
}

/** Asks where. Throws `bad-input` when nothing is looked at; `storage`. */
export async function saveAttentionState(parts: AttentionFileParts): Promise<void> {
  const info = await parts.engine.info(parts.models.require().ref);
  requirePlace(parts.attention.looked.place);
  await saveAs({
    name: 'attention',
    format: SAVED_EXTENSION,
    filter: vscode.l10n.t('Attention State'),
    content: (uri) => new TextEncoder().encode(`${JSON.stringify(savedState(parts.attention, info, uri), null, 2)}\n`),
  });
}

export function savedState(attention: AttentionController, info: ModelInfo, file: vscode.Uri): SavedAttention {
  const looked = attention.looked;
  const { subject, pair, around } = requirePlace(looked.place);
  const { target: _, ...look } = looked.look;
  return {
    format: SAVED_FORMAT,
    version: SAVED_VERSION,
    model: fingerprint(info),
    document: {
      path: relativeTo(file, subject.uri),
      context: subject.kind,
      start: subject.windowStart,
      pairStart: pair?.windowStart ?? null,
    },
    text: subject.text,
    pair: pair?.text ?? null,
    around,
    target: looked.target,
    look,
    interventions: [...looked.interventions],
  };
}

/**
 * Shows what was saved, on the text as it was then; where that does not stand in the document any more, it is shown as such. Throws
 * `bad-input` for a damaged file, and when the model is missing or another one: its picture would not be the one that was saved.
 */
export async function openAttentionState(parts: AttentionFileParts, file: vscode.Uri): Promise<void> {
  const { engine, models, shared, attention } = parts;
  const saved = readSavedAttention(new TextDecoder().decode(await readFile(file)));
  const { ref } = models.require(saved.model.id);
  requireSameModel(saved.model, await engine.info(ref));
  if (models.selected?.ref.id !== ref.id) await models.select(ref.id);
  const uri = uriFrom(file, saved.document.path);
  const document = await vscode.workspace.openTextDocument(uri).then(
    (opened) => opened,
    () => null, // the text is in the file, so there is something to show all the same
  );
  const subjectAt = (text: string, start: number, anchor: TextRange): Subject => {
    const context = { text, windowStart: start, kind: saved.document.context };
    const subject = Subject.restored(uri, context, { start: start + anchor.start, end: start + anchor.end });
    if (document !== null) subject.compare(document);
    return subject;
  };
  const { start, pairStart } = saved.document;
  const place = new Place(
    subjectAt(saved.text, start, saved.around ?? { start: 0, end: saved.text.length }),
    saved.pair === null ? null : subjectAt(saved.pair, pairStart ?? 0, { start: 0, end: saved.pair.length }),
    saved.around,
  );
  if (document !== null) await vscode.window.showTextDocument(document, { preserveFocus: true, preview: true });
  attention.restore(saved.look);
  shared.show(place, saved.target, saved.interventions);
  await attention.show();
}

const fingerprint = ({ id, file, architecture, parameters }: ModelInfo): SavedAttention['model'] => ({
  id,
  file,
  architecture,
  parameters,
});

function requireSameModel(saved: SavedAttention['model'], info: ModelInfo): void {
  const now = fingerprint(info);
  if (now.file === saved.file && now.architecture === saved.architecture && now.parameters === saved.parameters) return;
  const say = ({ file, architecture, parameters }: SavedAttention['model']): string =>
    `${file}, ${architecture ?? 'unknown architecture'}, ${count(parameters)} parameters`;
  throw new LensError(
    'bad-input',
    `“${saved.id}” is not the model of the saved state: that was ${say(saved)}; this one is ${say(now)}.`,
    'Add the folder of the model that was used then.',
  );
}

async function readFile(file: vscode.Uri): Promise<Uint8Array> {
  try {
    return await vscode.workspace.fs.readFile(file);
  } catch (cause) {
    throw new LensError('bad-input', `${file.fsPath} could not be read.`, 'Choose another file.', { cause });
  }
}

/** So that a folder with texts and states can be moved as a whole. */
function relativeTo(file: vscode.Uri, uri: vscode.Uri): string {
  if (file.scheme !== uri.scheme || file.authority !== uri.authority) return uri.toString();
  const path = posix.relative(posix.dirname(file.path), uri.path);
  // Another drive, or a name like a URI's.
  return URI.test(path) ? uri.toString() : path;
}

const uriFrom = (file: vscode.Uri, path: string): vscode.Uri =>
  URI.test(path) ? vscode.Uri.parse(path, true) : vscode.Uri.joinPath(file, '..', path);
