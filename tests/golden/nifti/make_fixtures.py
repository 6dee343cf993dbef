#!/usr/bin/env python3
"""Small scans written by nibabel, and what nibabel reads from them (expected.json): the reference of test_nifti.

    python3 make_fixtures.py        # writes beside itself; needs numpy and nibabel (made with 5.0.0)

Voxels are integers below 101, so that every datatype holds them; the extremes of integer types are the first two voxels.
"""

import json
import pathlib

import nibabel as nib
import numpy as np

here = pathlib.Path(__file__).parent
expected = {}

# An oblique placement with anisotropic voxels: rotation about a skew axis, first axis towards the left.
turn = nib.eulerangles.euler2mat(0.2, -0.3, 0.4)
oblique = np.eye(4)
oblique[:3, :3] = turn @ np.diag([-0.9, 1.1, 2.5])
oblique[:3, 3] = [12.5, -20.25, 7.125]
# A second one, sheared, that a qform cannot hold.
sheared = oblique.copy()
sheared[0, 1] += 0.25
sheared[:3, 3] += [1, 2, 3]


def voxels(shape, dtype):
    values = (7 * np.arange(np.prod(shape)) % 101).astype(dtype).reshape(shape, order="F")
    if np.issubdtype(dtype, np.integer):
        values[0, 0, 0], values[1, 0, 0] = np.iinfo(dtype).min, np.iinfo(dtype).max
    return values


def keep(name, image, patch=None):
    """Saves the image, overwrites header bytes at given offsets, and notes what nibabel makes of the file."""
    nib.save(image, here / name)
    if patch:
        raw = bytearray((here / name).read_bytes())
        for offset, value in patch.items():
            raw[offset : offset + len(value)] = value
        (here / name).write_bytes(raw)
    loaded = nib.load(here / name)
    header = loaded.header
    # As srengine defines it: float64 arithmetic, then float32.
    data = np.asarray(loaded.get_fdata(dtype=np.float64)).astype(np.float32)
    finite = np.isfinite(data)
    expected[name] = {
        "version": 2 if int(header["sizeof_hdr"]) == 540 else 1,
        "swapped": header.endianness == ">",
        "datatype": header.get_data_dtype().name,
        "shape": list(data.shape),
        "pixdim": [float(v) for v in header["pixdim"]],
        "qform_code": int(header["qform_code"]),
        "sform_code": int(header["sform_code"]),
        "qform": header.get_qform().tolist(),
        "sform": header.get_sform().tolist(),
        "orientation": "".join(nib.aff2axcodes(loaded.affine)) if header["qform_code"] or header["sform_code"] else "",
        "units": list(header.get_xyzt_units()),
        "extensions": [[int(e.get_code()), e.get_sizeondisk() - 8] for e in header.extensions],
        "nonfinite": int((~finite).sum()),
        "data": np.where(finite, data, 0).ravel(order="F").astype(float).tolist(),
    }


def image(data, affine=oblique, kind=nib.Nifti1Image, endian="<"):
    header = kind.header_class(endianness=endian)
    header.set_data_dtype(data.dtype.newbyteorder(endian))
    result = kind(data, affine, header)
    result.header.set_xyzt_units("mm", "sec")
    return result


shape = (5, 4, 3)
for name in ("uint8 int8 uint16 int16 uint32 int32 uint64 int64 float32 float64").split():
    keep(f"{name}.nii", image(voxels(shape, np.dtype(name).type)))
for name in ("int16", "float32", "uint64", "float64"):
    keep(f"{name}_big_endian.nii", image(voxels(shape, np.dtype(name).type), endian=">"))


# nibabel rescales on saving, so slope and intercept (offset 112) are put in afterwards.
keep("scaled.nii", image(voxels(shape, np.int16)), patch={112: np.array([0.5, -3.25], "<f4").tobytes()})
keep("slope_zero.nii", image(voxels(shape, np.int16)), patch={112: np.array([0, 5], "<f4").tobytes()})

placed = image(voxels(shape, np.int16))
placed.set_qform(oblique, code="scanner")
placed.set_sform(sheared, code="mni")
placed.header["descrip"] = b"made by nibabel"
placed.header["aux_file"] = b"aux.txt"
placed.header["intent_name"] = b"a name"
placed.header.set_intent("t test", (12,))
placed.header.set_dim_info(freq=0, phase=1, slice=2)
placed.header["slice_end"] = 2
placed.header["slice_code"] = 1
placed.header["slice_duration"] = 0.25
placed.header["toffset"] = 1.5
placed.header["cal_max"] = 99
keep("placed.nii.gz", placed)

only_qform = image(voxels(shape, np.int16), affine=None)
only_qform.set_qform(oblique, code="aligned")
only_qform.header["sform_code"] = 0
keep("qform_only.nii", only_qform)
keep("no_forms.nii", image(voxels(shape, np.int16), affine=None))

keep("four_d.nii.gz", image(voxels((4, 3, 2, 5), np.int16)))
keep("five_d.nii", image(voxels((4, 3, 2, 2, 3), np.float32)))
keep("two_d.nii", image(np.arange(12, dtype=np.int16).reshape(4, 3)))

extended = image(voxels(shape, np.uint8))
extended.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a comment of odd length"))
extended.header.extensions.append(nib.nifti1.Nifti1Extension(44, b'{"SpectrometerFrequency": [123.2]}'))
keep("extended.nii.gz", extended)

keep("nifti2.nii", image(voxels(shape, np.int16), kind=nib.Nifti2Image))
keep("nifti2_big_endian.nii.gz", image(voxels(shape, np.float32), kind=nib.Nifti2Image, endian=">"))
keep("pair.hdr", image(voxels(shape, np.int16), kind=nib.Nifti1Pair))
keep("pair_gz.hdr.gz", image(voxels(shape, np.float32), kind=nib.Nifti1Pair))
keep("pair2.hdr", image(voxels(shape, np.uint16), kind=nib.Nifti2Pair))

holes = voxels(shape, np.float32)
holes[0, 0, 0], holes[2, 1, 1], holes[4, 3, 2] = np.nan, np.inf, -np.inf
keep("nonfinite.nii", image(holes))

# To be refused by name: no entry in expected.json.
nib.save(image(voxels(shape, np.complex64)), here / "refused_complex64.nii")
colour = np.zeros(shape, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
nib.save(nib.Nifti1Image(colour, oblique), here / "refused_rgb24.nii")
nib.save(nib.AnalyzeImage(voxels(shape, np.int16), np.eye(4)), here / "refused_analyze.img")

lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in expected.items()]
(here / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
