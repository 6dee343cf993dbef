#!/usr/bin/env python3
"""Checks with nibabel that a scan written by srengine kept what docs/nifti.md says it keeps.

    check_nifti_roundtrip.py INPUT OUTPUT [--dtype input] [--same-values]

--same-values: OUTPUT holds INPUT's values (it was copied, not restored): float32 of them, or exactly them with
--dtype input. Prints one line per disagreement; exit code 1 if there was any, 77 without nibabel.
"""

import argparse
import sys

try:
    import nibabel as nib
    import numpy as np
except ImportError:
    print("skipped: nibabel is not installed")
    sys.exit(77)

KEPT = (
    "qform_code sform_code quatern_b quatern_c quatern_d qoffset_x qoffset_y qoffset_z srow_x srow_y srow_z "
    "xyzt_units intent_code intent_p1 intent_p2 intent_p3 intent_name dim_info slice_start slice_end slice_code "
    "slice_duration toffset aux_file pixdim"
).split()
UNUSED = "data_type db_name extents session_error regular glmax glmin unused_str".split()


def same(a, b):
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=np.asarray(a).dtype.kind == "f")


def compare(source, result, keep_dtype, same_values):
    a, b = source.header, result.header
    if a["sizeof_hdr"] != b["sizeof_hdr"]:
        yield f"NIfTI version: header of {a['sizeof_hdr']} bytes became {b['sizeof_hdr']}"
    if source.shape != result.shape:
        yield f"shape: {source.shape} became {result.shape}"
        return
    for field in KEPT:
        if not same(a[field], b[field]):
            yield f"{field}: {a[field]} became {b[field]}"
    if not np.array_equal(source.affine, result.affine):
        yield "affine differs"
    for field in UNUSED:
        if field in b.keys() and np.asarray(b[field]).tobytes().strip(b"\0"):
            yield f"unused field {field} is not zero: {b[field]}"
    extensions = [[(e.get_code(), e.get_content()) for e in h.extensions] for h in (a, b)]
    if extensions[0] != extensions[1]:
        yield "extensions differ"
    if not bytes(b["descrip"].tobytes()).startswith(b"srengine"):
        yield f"descrip does not name the program: {b['descrip']}"

    dtype = a.get_data_dtype().newbyteorder("=") if keep_dtype else np.dtype(np.float32)
    if b.get_data_dtype().newbyteorder("=") != dtype:
        yield f"datatype: {b.get_data_dtype()} instead of {dtype}"
    values = np.asarray(result.get_fdata(dtype=np.float64))
    if not np.isfinite(values).all():
        yield "values: not all finite"
    if not np.isclose(float(b["cal_min"]), values.min(), rtol=1e-6) or not np.isclose(
        float(b["cal_max"]), values.max(), rtol=1e-6
    ):
        yield f"cal_min, cal_max: {b['cal_min']}, {b['cal_max']}, values {values.min()}, {values.max()}"
    if same_values:
        expected = np.nan_to_num(source.get_fdata(dtype=np.float64), nan=0, posinf=0, neginf=0)
        if keep_dtype:
            before, after = (np.asarray(scan.dataobj.get_unscaled()) for scan in (source, result))
            if not np.array_equal(np.nan_to_num(before, nan=0, posinf=0, neginf=0), after):
                yield "stored values differ"
        elif not np.array_equal(expected.astype(np.float32), values.astype(np.float32)):
            yield f"values differ by up to {np.abs(expected - values).max():.3g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--dtype", choices=["float32", "input"], default="float32")
    parser.add_argument("--same-values", action="store_true")
    args = parser.parse_args()
    problems = list(compare(nib.load(args.input), nib.load(args.output), args.dtype == "input", args.same_values))
    for problem in problems:
        print(f"{args.output}: {problem}")
    if not problems:
        print(f"{args.output}: agrees with {args.input}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
