/** The settings, read where they are used, with the types and bounds that package.json promises. */
import * as vscode from 'vscode';
import { ATTENTION_METHODS, SPECIALS } from '../protocol/attention';
import type { AttentionLook } from '../protocol/attentionView';
import { DEFAULT_SETTINGS, type EngineSettings } from '../protocol/engine';
import { LensError } from '../protocol/errors';
import type { MemoryMeasure } from '../protocol/ffn';
import type { ContextKind } from '../protocol/view';

export const SECTION = 'onnxLens';

function setting<T>(name: string, fallback: T, scope?: vscode.ConfigurationScope): T {
  return vscode.workspace.getConfiguration(SECTION, scope ?? null).get<T>(name, fallback);
}

function oneOf<T extends string>(name: string, allowed: readonly [T, ...T[]], scope?: vscode.ConfigurationScope): T {
  const value = setting<string>(name, allowed[0], scope);
  return allowed.find((item) => item === value) ?? allowed[0];
}

function integer(name: string, fallback: number, minimum: number, maximum: number): number {
  const value = Number(setting<unknown>(name, fallback));
  return Number.isFinite(value) ? Math.min(Math.max(Math.round(value), minimum), maximum) : fallback;
}

export function engineSettings(): EngineSettings {
  return {
    threads: integer('engine.threads', DEFAULT_SETTINGS.threads, 0, 256),
    executionProvider: oneOf('engine.executionProvider', ['cpu', 'cuda', 'dml', 'coreml']),
    quantised: oneOf('engine.quantizedModels', ['exact', 'fast']),
    lowMemory: setting('engine.lowMemory', DEFAULT_SETTINGS.lowMemory),
    idleMinutes: integer('engine.idleMinutes', DEFAULT_SETTINGS.idleMinutes, 0, 1_440),
    maxModelMegabytes: integer('engine.maxModelMegabytes', DEFAULT_SETTINGS.maxModelMegabytes, 0, 1_048_576),
  };
}

export const selectedModelId = (): string => setting('model', '');
export const compareModelId = (): string => setting('compareModel', '');
export const contextKind = (scope?: vscode.ConfigurationScope): ContextKind =>
  oneOf('context', ['sentence', 'paragraph', 'window'], scope);
export const topK = (): number => integer('topK', 10, 1, 100);
/** 0 switches the joint search off. */
export const jointBeam = (): number => integer('jointBeam', 5, 0, 20);

export const hoverEnabled = (): boolean => setting('hover.enabled', true);
export const hoverWhenNotLoaded = (): 'ask' | 'load' | 'nothing' =>
  oneOf('hover.whenNotLoaded', ['ask', 'load', 'nothing']);
export function hoverLanguages(): string[] {
  const value = setting<unknown>('hover.languages', ['plaintext', 'markdown']);
  return Array.isArray(value) ? value.filter((language): language is string => typeof language === 'string') : [];
}

/** How attention is looked at until somebody changes it. */
export const attentionLook = (): Pick<AttentionLook, 'method' | 'words' | 'specials' | 'direction'> => ({
  method: oneOf('attention.method', ATTENTION_METHODS),
  words: setting('attention.words', true),
  specials: oneOf('attention.specials', SPECIALS),
  direction: oneOf('attention.direction', ['from', 'to']),
});

/** What memories are ranked by until somebody changes it. */
export const memoryMeasure = (): MemoryMeasure =>
  oneOf('memories.measure', ['norm', 'activation', 'logit', 'ablation']);

export interface ProbeSettings {
  inlayHints: boolean;
  /** Predictions beside a line. */
  hintCount: number;
  /** A fact passes when its answer has this rank or a better one. */
  passRank: number;
  /** Paths, for files that do not say themselves; empty: none. */
  vocabulary: string;
  candidates: string;
}

export const probes = (): ProbeSettings => ({
  inlayHints: setting('probes.inlayHints', true),
  hintCount: integer('probes.hintCount', 3, 1, 20),
  passRank: integer('probes.passRank', 1, 1, 1_000),
  vocabulary: setting('probes.vocabulary', ''),
  candidates: setting('probes.candidates', ''),
});

/** Runs that are kept in the workspace's storage. */
export const probeHistory = (): number => integer('probes.history', 50, 0, 1_000);

export function modelFolders(): string[] {
  const value = setting<unknown>('modelFolders', []);
  return Array.isArray(value) ? value.filter((folder): folder is string => typeof folder === 'string') : [];
}

/**
 * Writes where the value already comes from, so that a workspace's own choice is changed and not shadowed. Throws `storage` when the
 * settings file is read-only, damaged, or on a full disk.
 */
export async function update(name: string, value: unknown): Promise<void> {
  const configuration = vscode.workspace.getConfiguration(SECTION);
  const inspected = configuration.inspect(name);
  const target =
    inspected?.workspaceValue === undefined ? vscode.ConfigurationTarget.Global : vscode.ConfigurationTarget.Workspace;
  try {
    await configuration.update(name, value, target);
  } catch (cause) {
    throw new LensError(
      'storage',
      `The setting ${SECTION}.${name} could not be saved: ${cause instanceof Error ? cause.message : String(cause)}`,
      'Look at the settings file with “Preferences: Open User Settings (JSON)”; the old value still holds.',
      { cause },
    );
  }
}
